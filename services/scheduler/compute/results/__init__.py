"""Results: created, completed, imported, deleted, waited for."""
