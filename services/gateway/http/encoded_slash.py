"""Slashes inside of a segment: a pid such as `20.500.12345/a3f1` stands in a path as `20.500.12345%2Fa3f1`.

The server has decoded the path by the time it is routed, and the segment would have become two. So an encoded slash is masked
by a character that no name can have, and given back when a handler reads the segment.
"""

from urllib.parse import unquote

from litestar.types import ASGIApp, Receive, Scope, Send

_MASK = "\x1f"
_WITH_PIDS = (b"/catalogue/", b"/archiver/", b"/data/")
"""Where names have slashes; elsewhere an encoded one makes a path that there is not."""


class Slashes:
    """Wraps the application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw = scope.get("raw_path", b"")
        if raw.startswith(_WITH_PIDS) and b"%2f" in raw.lower():
            masked = raw.replace(b"%2F", b"%1F").replace(b"%2f", b"%1F")
            scope["path"] = unquote(masked.decode("ascii", "replace"))
        await self._app(scope, receive, send)


def unmask(segment: object) -> object:
    """A segment as it was meant."""
    return segment.replace(_MASK, "/") if isinstance(segment, str) else segment
