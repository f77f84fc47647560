"""Which keys there are. A key may become a path (a store on a file system, an unpacked archive), so it is checked as one.

results/<session>/<result>/<writer>     a result's value; every writer has a fresh key, the result's row names the winner
"""

import re
from collections.abc import Iterable
from typing import Final
from uuid import UUID

from shared.contracts.catalogue import LONGEST_PATH
from shared.contracts.errors import Invalid
from shared.contracts.ids import uuid7

MARKER: Final = "headrace-storage.json"
"""What says which storage this is (identity.py). No object can be called so."""
LONGEST_KEY: Final = 1024
"""Bytes of UTF-8: S3's limit."""
LONGEST_NAME: Final = 255
"""Bytes of one segment: what file systems, and stores built on them, can take."""
NAMED: Final = 20
"""Refused paths that an error names; the others are counted."""


RESULTS: Final = "results/"
"""Where the values of sessions lie, and nothing else."""

_HARMFUL: Final = (
    (re.compile(r"[/\\]"), "a slash or backslash"),
    (re.compile("[\x00-\x1f\x7f-\x9f]"), "a control character"),
    (re.compile("[\ud800-\udfff]"), "a byte that is not UTF-8"),
    (re.compile("[\u2028\u2029]"), "a line end, which a manifest cannot hold"),
    (re.compile("[\u202a-\u202e\u2066-\u2069]"), "a control of the direction of text, which shows a name as another"),
    (re.compile("[\ufffe\uffff]"), "a character that no XML can hold, so that no list of objects can name it"),
)
"""What a name may not have, and why. Everything else is somebody's ordinary name: spaces of every width, joiners of emoji and
of Persian and Hindi, marks of direction, characters newer than the Python in use."""


def name_fault(name: str) -> str:
    """Why this is not a name of a file, or a segment of a key; empty if it is one."""
    if name in ("", ".", ".."):
        return f"{name!r} is not a name"
    for pattern, what in _HARMFUL:
        if found := pattern.search(name):
            return f"it has {what} (U+{ord(found[0]):04X})"
    if len(name.encode()) > LONGEST_NAME:
        return f"a name has at most {LONGEST_NAME} bytes"
    return ""


def path_fault(path: str) -> str:
    """Why this is not a path of a file in a dataset; empty if it is one. The one rule of client and server."""
    for segment in path.split("/"):
        if fault := name_fault(segment):
            return fault
    if (size := len(path.encode())) > LONGEST_PATH:
        return f"it has {size} bytes, a path at most {LONGEST_PATH}"
    return ""


def in_words(faults: Iterable[str], most: int = NAMED) -> str:
    """The first `most` of them, and how many more there are."""
    all_of_them = list(faults)
    more = f"; and {len(all_of_them) - most} more" if len(all_of_them) > most else ""
    return "; ".join(all_of_them[:most]) + more


def check_key(key: str) -> str:
    """The key, if it is one: relative, in segments that are names. Otherwise Invalid."""
    if not key or len(key.encode("utf-8", "replace")) > LONGEST_KEY:
        raise Invalid(f"a key has 1 to {LONGEST_KEY} bytes", field="key")
    for segment in key.split("/"):
        check_name(segment, field="key")
    if key.partition("/")[0] == MARKER:
        raise Invalid(f"no key begins with {MARKER}: it says which storage this is", field="key")
    if key.startswith("inline:"):
        raise Invalid("a key may not look like the id of an inline value", field="key")
    return key


def check_name(name: str, *, field: str = "name") -> str:
    """The name, if it is one (`name_fault`). Otherwise Invalid."""
    if fault := name_fault(name):
        raise Invalid(fault, field=field)
    return name


def check_path(path: str, *, field: str = "path") -> str:
    """The path, if a file of a dataset can have it (`path_fault`). Otherwise Invalid."""
    if fault := path_fault(path):
        raise Invalid(fault, field=field)
    return path


def result_key(session: UUID, result: UUID) -> str:
    """A fresh key for a value of `result`; never the same twice."""
    return f"{result_prefix(session, result)}{uuid7()}"


def result_prefix(session: UUID, result: UUID) -> str:
    """Under which all writers' objects of a result lie."""
    return f"{session_prefix(session)}{result}/"


def session_prefix(session: UUID) -> str:
    """Under which all values of a session's results lie: what a purge removes."""
    return f"{RESULTS}{session}/"
