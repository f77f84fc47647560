"""The catalogue: the statuses of datasets and jobs, and the registered datablocks. `builtin` keeps it in the archiver's own tables."""
