"""The table of the storages that a service knows."""

from shared.db.schema import SchemaFiles

SCHEMA = SchemaFiles.of(__file__)
