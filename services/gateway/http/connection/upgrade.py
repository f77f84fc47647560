"""Offers to upgrade, which a server may ignore (RFC 9110, 7.8): curl and Java's client send one for HTTP/2 with any request.

The parser takes what offers an upgrade to have no body. So a request whose offer is ignored is parsed anew without it.
"""

Fields = list[tuple[bytes, bytes]]


def is_offered(fields: Fields) -> bool:
    """Whether these fields offer an upgrade. Names are lower case."""
    return any(name == b"upgrade" for name, _ in fields)


def has_body(fields: Fields) -> bool:
    """Whether a request with these fields has a body. Names are lower case."""
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0")) for name, value in fields
    )


def head_without(method: bytes, target: bytes, version: str, fields: Fields) -> bytes:
    """The request's head, without the offer."""
    kept = [b"%b: %b\r\n" % (name, value) for name, value in fields if name != b"upgrade"]
    return b"".join([method, b" ", target, b" HTTP/", version.encode(), b"\r\n", *kept, b"\r\n"])
