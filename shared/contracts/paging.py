"""Pages. A list answers `items` and `next`, the token of the next page (empty: that was all)."""

from typing import Annotated

import msgspec

PageSize = Annotated[int, msgspec.Meta(ge=1, le=1000)]


class Page(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Asks for a page: at most `size` items after the one that `token` names."""

    size: PageSize = 100
    token: str = ""
