"""`/data/v1`, `/catalogue`, `/archiver`: datasets, uploads, archival and retrieval."""
