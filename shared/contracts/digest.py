"""The checksum of a value in HTTP headers: `Repr-Digest: sha-256=:<base64>:` (RFC 9530), or `Digest` as it was before."""

import base64
import binascii
import re
from collections.abc import Mapping

from shared.contracts.errors import Invalid

_MEMBER = re.compile(r"\s*([A-Za-z0-9_-]+)\s*=\s*(.+?)\s*")
FIELDS = (("Repr-Digest", ":"), ("Content-Digest", ":"), ("Digest", ""))
"""Names, and what stands around the base64. A body here is the whole value, unencoded: the first two mean the same."""


def read_digest(headers: Mapping[str, str]) -> tuple[str, str]:
    """The header's name, and the SHA-256 in hex that it has; both empty if there is none. `headers`: lower case → value.

    Other algorithms are passed over, as the standard has it.
    """
    for name, fence in FIELDS:
        for member in headers.get(name.lower(), "").split(","):
            found = _MEMBER.fullmatch(member)
            if found is not None and found[1].lower() == "sha-256":
                return name, _hex(name, found[2], fence)
    return "", ""


def _hex(name: str, text: str, fence: str) -> str:
    inner = text.removeprefix(fence).removesuffix(fence)
    try:
        digest = base64.b64decode(inner, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != 32 or text != f"{fence}{inner}{fence}":
        raise Invalid(f"sha-256={fence}<base64 of 32 bytes>{fence} is expected", field=name)
    return digest.hex()


def format_digest(checksum: str) -> str:
    """The value of `Repr-Digest` for a SHA-256 in hex."""
    return f"sha-256=:{base64.b64encode(bytes.fromhex(checksum)).decode()}:"
