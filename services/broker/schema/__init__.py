"""The broker's tables."""

from shared.db.schema import SchemaFiles

SCHEMA = SchemaFiles.of(__file__)
