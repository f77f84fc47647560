"""Where the HTTP edge has what: the prefixes of its domains."""

from typing import Final
from urllib.parse import quote

COMPUTE: Final = "/compute/v1"
DATA: Final = "/data/v1"
ARCHIVER: Final = "/archiver/api/v1"
EXECUTION: Final = "/execution/v1"
OPS: Final = "/ops/v1"
OPERATIONS: Final = "/operations/v1/operations"


def segment(text: str) -> str:
    """A text as one segment of a path: a pid's slash is no separator."""
    return quote(text, safe="")
