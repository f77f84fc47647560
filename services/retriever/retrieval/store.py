"""Rows in, contracts out; and where retrieval storage keeps a datablock."""

from collections.abc import Mapping
from typing import Any

from shared.contracts.retrieval import Retrieval
from shared.db.sql import load
from shared.runtime.clock import rfc3339

Q = load(__file__)
Row = Mapping[str, Any]
Db = Any
"""asyncpg's pool or connection."""


ROOM = "retrieval/"
"""Where retrieval storage is."""


def retrieval_key(archive_id: str) -> str:
    """The same for every retrieval of a dataset: what is there already is not brought again."""
    return f"{ROOM}{archive_id}"


def archive_id(retrieval_key: str) -> str:
    """Of which datablock a key of retrieval storage is."""
    return retrieval_key.removeprefix(ROOM)


def retrieval_of(row: Row, status: str, step: str, error: str = "") -> Retrieval:
    """`status`, `step`, `error`: of the retrieval's chain."""
    return Retrieval(
        row["id"],
        row["pid"],
        row["owner"],
        status_of(row, status),
        step,
        error or _damage(row),
        row["blocks"],
        row["back"],
        row["wanted"],
        row["produced"],
        rfc3339(row["created_at"]),
        row["size"],
        row["damaged"],
    )


def _damage(row: Row) -> str:
    return f"{row['damaged']} of {row['blocks']} datablocks are damaged on long-term storage" if row["damaged"] else ""


def status_of(row: Row, status: str) -> str:
    """`partial` where a chain is done, and not everything came back."""
    return "partial" if status == "done" and row["damaged"] else status
