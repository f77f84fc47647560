"""What users, and the archiver for the catalogue's jobs, ask of the retriever."""
