"""The tables that every service has."""

from shared.db.schema import SchemaFiles

SCHEMA = SchemaFiles.of(__file__)
