"""Pages of a list. The reply has `items` and `next`, the token of the next page, which is empty on the last page."""

from typing import Annotated

import msgspec

PageSize = Annotated[int, msgspec.Meta(ge=1, le=1000)]


class Page(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Asks for a page: at most `size` items, from where the page ended whose `next` is `token`; empty: the first page."""

    size: PageSize = 100
    token: str = ""
