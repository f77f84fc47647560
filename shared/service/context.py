"""Who asks, and with what: what a handler knows beside the request."""

from collections.abc import Awaitable, Callable, Mapping
from uuid import UUID

import msgspec

from shared.contracts.permissions import ADMIN, USER, WORKER


class Context(msgspec.Struct, frozen=True):
    """Who asks, and the message that asks.

    user      the name; empty for a worker, or a service that asks for itself
    groups    the groups that the user is in
    roles     what gives the user permissions (`shared/contracts/permissions.py`)
    scope     the permissions that the user's token is limited to; None: those of the roles
    via       the way in: `http`, `command`, `watch`, or who has signed for the user: a service, or `broker.<site>`
    site      the site that asks: its broker, for itself or with a delegation that it was given, or a worker of it; empty: no site
    offer     the accepted offer under which the site asks for the user; None: no offer

    subject   of the message; empty over HTTP
    headers   of the message
    trace     the W3C trace context
    key       the idempotency key, empty if there is none
    durable   whether it came as a command, not as a request
    """

    user: str
    groups: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    scope: tuple[str, ...] | None = None
    via: str = ""
    site: str = ""
    offer: UUID | None = None
    subject: str = ""
    headers: Mapping[str, str] = {}
    trace: str = ""
    key: str = ""
    durable: bool = False

    @property
    def is_admin(self) -> bool:
        """Whether the asker may see and change what others own."""
        return ADMIN in self.roles


Handler = Callable[[Context, bytes], Awaitable[bytes]]
Middleware = Callable[[Handler], Handler]


def assumed_roles(user: str) -> tuple[str, ...]:
    """The roles of an asker of whom nothing but the name is known (docs/adr/0029-who-asks.md)."""
    if not user:
        return (WORKER,)
    return (ADMIN,) if user == ADMIN else (USER,)


def speaking_for(user: str) -> Context:
    """The context in which a service asks others for the owner of its work, long after the owner asked."""
    return Context(user, roles=assumed_roles(user))
