"""Whether a value may be that of a result: its size, its checksum, where its object lies."""

import hashlib
from uuid import UUID

from shared.contracts.compute import NewResult
from shared.contracts.errors import Invalid
from shared.contracts.topology import INLINE_LIMIT
from shared.db.sql import Row
from shared.objects.layout import check_key, result_prefix


def check_value(data: bytes | None, key: str | None, sha256: str | None, field: str) -> bytes | None:
    """The value's checksum, if it is known or lies here."""
    if data is not None and key is not None:
        raise Invalid("either data or object, not both", field=f"{field}object")
    if data is not None and len(data) > INLINE_LIMIT:
        raise Invalid(f"inline values may have {INLINE_LIMIT} bytes; store an object", field=f"{field}data")
    if data is not None:
        found = hashlib.sha256(data).digest()
        if sha256 is not None and sha256 != found.hex():
            raise Invalid(f"the data hash to {found.hex()}, not to {sha256}", field=f"{field}sha256")
        return found
    if sha256 is not None and key is None:
        raise Invalid("there is no value that it could be of", field=f"{field}sha256")
    return None if sha256 is None else bytes.fromhex(sha256)


def check_object(session: UUID, result: UUID | None, key: str | None, field: str) -> None:
    """A key that belongs to this very result: whoever could name another's would read its value."""
    if key is None:
        return
    if result is None:
        raise Invalid("an object needs the result's own id, under which its key lies", field=f"{field}object")
    prefix = result_prefix(session, result)
    if not key.startswith(prefix):
        raise Invalid(f"an object of this result begins with {prefix}", field=f"{field}object")
    try:
        check_key(key)
    except Invalid as error:
        raise Invalid(error.message, field=f"{field}object") from None


def is_same(row: Row, session: UUID, new: NewResult) -> bool:
    """Whether a result is what was asked for. One that was to be created empty may have got its value since."""
    if row["session"] != session or row["name"] != new.name or not row["standalone"]:
        return False
    empty = new.data is None and new.object is None
    return empty or (row["data"], row["object"]) == (new.data, new.object)
