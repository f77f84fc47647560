"""Which keys there are. A key may become a path (a store on a file system, an unpacked archive), so it is checked as one.

results/<session>/<result>/<writer>     a result's value; every writer has a fresh key, the result's row names the winner
"""

from typing import Final
from uuid import UUID

from shared.contracts.errors import Invalid
from shared.contracts.ids import uuid7

MARKER: Final = "headrace-storage.json"
"""What says which storage this is (identity.py). No object can be called so."""
LONGEST_KEY: Final = 1024
"""Bytes of UTF-8: S3's limit."""
LONGEST_NAME: Final = 255
"""Bytes of one segment: what file systems, and stores built on them, can take."""


RESULTS: Final = "results/"
"""Where the values of sessions lie, and nothing else."""


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
    """One segment, such as a file's name given by a user: not empty, not `.` or `..`, no slash, no control characters."""
    if name in ("", ".", ".."):
        raise Invalid(f"{name!r} is not a name", field=field)
    if "/" in name or "\\" in name or not name.isprintable():
        raise Invalid("a name has no slash, backslash or control character", field=field)
    if len(name.encode()) > LONGEST_NAME:
        raise Invalid(f"a name has at most {LONGEST_NAME} bytes", field=field)
    return name


def result_key(session: UUID, result: UUID) -> str:
    """A fresh key for a value of `result`; never the same twice."""
    return f"{result_prefix(session, result)}{uuid7()}"


def result_prefix(session: UUID, result: UUID) -> str:
    """Under which all writers' objects of a result lie."""
    return f"{session_prefix(session)}{result}/"


def session_prefix(session: UUID) -> str:
    """Under which all values of a session's results lie: what a purge removes."""
    return f"{RESULTS}{session}/"
