"""The archiver's tables."""

from services.archiver.catalogue.machine import MACHINES
from shared.db.schema import SchemaFiles

SCHEMA = SchemaFiles.of(__file__, MACHINES)
