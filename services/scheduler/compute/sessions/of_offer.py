"""What a site may do with a session by the delegation of an accepted offer: open the one of that offer, look at it, close it."""

from collections.abc import Sequence
from uuid import UUID

from shared.contracts.errors import Forbidden, NotFound
from shared.service.context import Context


def session_id(ctx: Context, partitions: Sequence[str]) -> UUID | None:
    """The id that the new session has to have: the offer's. None if no offer is behind it: any.

    Forbidden if it is to be anywhere but in the site's own partition.
    """
    if ctx.offer is not None and list(partitions) != [ctx.site]:
        raise Forbidden(f"a session of an offer is in its site's partition {ctx.site!r} alone", field="partitions")
    return ctx.offer


def check(ctx: Context, session: UUID) -> None:
    """NotFound, as of a session that does not exist, for every other session than the offer's."""
    if ctx.offer is not None and ctx.offer != session:
        raise NotFound(f"there is no session {session}", field="session")
