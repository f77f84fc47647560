"""What users and the retriever ask of the archiver: decode, load, decide, commit, answer. One file a noun."""
