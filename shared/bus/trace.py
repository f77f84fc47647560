"""W3C trace context: `00-<trace>-<span>-01`. Kept in a context variable, carried in the header `traceparent`."""

import re
import secrets
from contextvars import ContextVar

_FORM = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

current: ContextVar[str] = ContextVar("traceparent", default="")


def new() -> str:
    """A trace context of a new trace."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def accept(header: str | None) -> str:
    """The caller's trace context if it is well-formed, otherwise a new one."""
    return header if header and _FORM.fullmatch(header) else new()


def trace_id(parent: str) -> str:
    """The 32 hex digits that all of one request share."""
    return parent[3:35]
