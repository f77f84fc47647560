"""The scheduler's tables, types and functions."""

from services.scheduler.machine import MACHINES
from shared.db.schema import SchemaFiles

SCHEMA = SchemaFiles.of(__file__, MACHINES)
