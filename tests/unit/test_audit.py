"""The chain of the audit log: each entry's hash covers the one before."""

from datetime import UTC, datetime

import pytest

from services.gateway.identity.audit import START, Entry, chained, entry_of, hash_of

ENTRY = Entry(datetime(2026, 12, 1, tzinfo=UTC), "ada", "http", "::1", "session.create", "", True, 201, "t")


def test_entries_are_chained_over_appends() -> None:
    first = chained(START, 0, [ENTRY, ENTRY])
    second = chained(first[-1]["hash"], 2, [ENTRY])
    assert [row["id"] for row in first + second] == [1, 2, 3]
    assert len({row["hash"] for row in first + second}) == 3, "equal entries at other places have other hashes"
    assert chained(START, 0, [ENTRY] * 3) == first + second


@pytest.mark.parametrize("field", ["at", "user", "via", "client", "action", "thing", "allowed", "status", "trace"])
def test_every_field_is_covered(field: str) -> None:
    (row,) = chained(START, 0, [ENTRY])
    stored = {**row, "user_name": row["user"]}
    assert hash_of(START, 1, entry_of(stored)) == row["hash"]
    other = {"at": datetime(2026, 12, 2, tzinfo=UTC), "allowed": False, "status": 500}.get(field, "other")
    changed = stored | {("user_name" if field == "user" else field): other}
    assert hash_of(START, 1, entry_of(changed)) != row["hash"]
