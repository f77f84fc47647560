"""What users and workers ask of the scheduler: decode, load, decide, commit, answer. One file a noun."""
