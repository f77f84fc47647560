"""`/operations/v1`: long work of all services in one list."""
