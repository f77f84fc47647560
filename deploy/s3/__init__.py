"""Who may do what in the object store: a key for each service, and one for workers."""
