"""The table of chains."""

from shared.chain.machine import MACHINE
from shared.db.schema import SchemaFiles

SCHEMA = SchemaFiles.of(__file__, [MACHINE])
