"""`/ops/v1/users`, `/ops/v1/tokens`: who may use the edge."""

from typing import Final, Literal
from uuid import UUID

import msgspec

from services.gateway.http.asgi import Response
from services.gateway.http.reply import Reply
from services.gateway.http.request import Request
from services.gateway.http.route import Route
from services.gateway.identity.auth import new_token
from shared.contracts.compute import PartitionName
from shared.contracts.errors import Forbidden, Invalid
from shared.contracts.permissions import ADMIN, OPS

ROOT: Final = "/ops/v1"


class UserCreate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`name` is also the user's token in NATS subjects."""

    name: PartitionName
    roles: tuple[Literal["admin", "operator", "user", "reader"], ...] = ("user",)


class UserToken(msgspec.Struct, frozen=True):
    """A new token. `token` is shown this once only; `id` names it, to revoke it."""

    id: str
    user: str
    roles: list[str]
    token: str


class TokenRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A token by its id."""

    token: UUID


async def create_user(request: Request, user: UserCreate) -> Response:
    """Makes a user, or a further token of one. Only an admin may."""
    _only_admins(request)
    if (ADMIN in user.roles) != (user.name == ADMIN):
        raise Invalid("the role admin belongs to the user admin, and to no other", field="roles")
    token = new_token()
    made = await request.edge.tokens.add(user.name, list(user.roles), token)
    return Reply(UserToken(str(made), user.name, sorted(user.roles), token), 201)


async def revoke_token(request: Request, ref: TokenRef) -> Response:
    """Revokes a token. Only an admin may."""
    _only_admins(request)
    await request.edge.tokens.revoke(ref.token)
    request.edge.auth.forget()
    return Reply(status=204)


def _only_admins(request: Request) -> None:
    # Otherwise whoever may look after queues could make an admin of themselves.
    if not request.context.is_admin:
        raise Forbidden("only an admin may do this")


ROUTES: Final = [
    Route(
        method="POST",
        path=f"{ROOT}/users",
        needs=OPS,
        handler=create_user,
        summary="Makes a user, or a further token of one.",
        message=UserCreate,
        reply=UserToken,
        status=201,
    ),
    Route(
        method="DELETE",
        path=f"{ROOT}/tokens/{{token}}",
        needs=OPS,
        handler=revoke_token,
        summary="Revokes a token.",
        message=TokenRef,
        status=204,
    ),
]
