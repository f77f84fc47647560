"""Finds the routes of an address, segment by segment."""

from collections.abc import Iterable
from urllib.parse import unquote

from services.gateway.http.asgi import Scope
from services.gateway.http.route import Route
from shared.contracts.errors import NotFound


class _Node:
    """What lies behind the segments so far: further segments, one that has a name, and the routes that end here."""

    def __init__(self) -> None:
        self.fixed: dict[str, _Node] = {}
        self.named: _Node | None = None
        self.routes: dict[str, Route] = {}

    def child(self, segment: str) -> "_Node":
        if not segment.startswith("{"):
            return self.fixed.setdefault(segment, _Node())
        self.named = self.named or _Node()
        return self.named


class Router:
    """A fixed segment goes before a named one, and there is no way back: `results/wait` is never the result `wait`."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._root = _Node()
        for route in routes:
            node = self._root
            for segment in filter(None, route.path.split("/")):
                node = node.child(segment)
            assert route.method not in node.routes, f"{route.method} {route.path} is there twice"
            node.routes[route.method] = route

    def find(self, segments: Iterable[str]) -> tuple[dict[str, Route], list[str]]:
        """The routes of an address by their method, and the values of its named segments. NotFound if there are none."""
        node, values = self._root, []
        for segment in segments:
            if (found := node.fixed.get(segment)) is None:
                found = node.named
                values.append(segment)
            if found is None:
                break
            node = found
        else:
            if node.routes:
                return node.routes, values
        raise NotFound("there is nothing at this address")


def segments(scope: Scope, *, encoded_slash: bool) -> list[str]:
    """The segments of a request's address, decoded.

    encoded_slash   whether `%2F` is a slash inside of a segment: a pid such as `20.500.12345/a3f1` stands in an address as
                    `20.500.12345%2Fa3f1`. Elsewhere it ends a segment as `/` does, and makes an address that there is not.
    """
    raw: bytes = scope.get("raw_path", b"")
    if encoded_slash and b"%2f" in raw.lower():
        return [unquote(segment) for segment in raw.decode("ascii", "replace").split("/") if segment]
    return [segment for segment in scope["path"].split("/") if segment]
