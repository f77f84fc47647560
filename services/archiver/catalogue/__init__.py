"""The catalogue: where statuses are told and datablocks registered. `builtin` keeps it in the archiver's own tables."""
