"""Lists of the HTTP edge, page by page, as iterators over what is in them."""

from collections.abc import AsyncIterator
from typing import Any, Protocol, TypeVar

from shared.client.http import Http

T = TypeVar("T")
SIZE = 1000
"""Entries of a page."""


class Page(Protocol[T]):
    """A page of the contracts: `next` is the token of the next one, empty on the last."""

    @property
    def items(self) -> list[T]: ...
    @property
    def next(self) -> str: ...


async def items(http: Http, path: str, page: type[Page[T]], *, size: int = SIZE, **query: Any) -> AsyncIterator[T]:
    """Every entry of a list. `page`: the contracts' Struct of a page, such as `TaskPage`."""
    token = ""
    while True:
        found = await http.ask("GET", path, page, query={**query, "size": size, "token": token})
        for one in found.items:
            yield one
        if not (token := found.next):
            return


async def plain_items(http: Http, path: str, *, size: int = SIZE, **query: Any) -> AsyncIterator[dict[str, Any]]:
    """Every entry of a list, as plain JSON values."""
    token = ""
    while True:
        page = await http.get(path, **query, size=size, token=token)
        for one in page["items"]:
            yield one
        if not (token := page["next"]):
            return
