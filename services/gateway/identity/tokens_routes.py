"""`/ops/v1/tokens` and `/ops/v1/login`: everybody's own tokens; all of them for an admin."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from services.gateway.http.asgi import Response
from services.gateway.http.reply import Reply
from services.gateway.http.request import Request
from services.gateway.http.route import Route
from services.gateway.identity.auth import new_token
from shared.contracts import identity as i
from shared.contracts.errors import Forbidden, Invalid, Unauthenticated
from shared.contracts.permissions import IDENTITY, ROLES
from shared.runtime.clock import rfc3339_or_none
from shared.service.paging import parse_token

ROOT: Final = "/ops/v1"
LOGIN: Final = timedelta(hours=12)
"""How long a token is valid that a password was given for."""
KNOWN: Final = frozenset().union(*ROLES.values())


async def create(request: Request, asked: i.TokenCreate) -> Response:
    """Makes a further token, which may do no more, and lives no longer, than the one that asks for it."""
    context, edge = request.context, request.edge
    user = asked.user or context.user
    if user != context.user and not context.is_admin:
        raise Forbidden("only an admin makes tokens of others")
    if unknown := sorted(set(asked.scope or ()) - KNOWN):
        raise Invalid(f"{unknown[0]!r} is no permission: {', '.join(sorted(KNOWN))}", field="scope")
    scope = asked.scope
    if context.scope is not None:
        if wider := sorted(set(scope or ()) - set(context.scope)):
            raise Forbidden(f"{wider[0]!r} is not in the scope of the token that asks")
        scope = scope or context.scope
    asker = await edge.auth.identify(request.header(b"authorization"))
    expires_at = _earlier(asker.expires_at, asked.expires_seconds, edge.clock.now())
    if (row := await edge.users.find(user)) is None:
        raise Invalid(f"{user} has no tokens here: who comes by OIDC gets them from the issuer", field="user")
    token = new_token()
    made = await edge.tokens.add(user, token, label=asked.label, scope=scope, expires_at=expires_at)
    return Reply(i.UserToken(str(made), user, list(row["roles"]), token, rfc3339_or_none(expires_at)), 201)


def _earlier(limit: datetime | None, seconds: int | None, now: datetime) -> datetime | None:
    asked = None if seconds is None else now + timedelta(seconds=seconds)
    return min(limit, asked) if limit and asked else limit or asked


async def page(request: Request, asked: i.TokenList) -> Response:
    """A page of the asker's tokens; an admin may ask for those of another, or for all."""
    context = request.context
    if (asked.all or asked.user not in (None, context.user)) and not context.is_admin:
        raise Forbidden("only an admin sees the tokens of others")
    user = None if asked.all else asked.user or context.user
    return Reply(await request.edge.tokens.page(user, parse_token(asked.token), asked.size))


async def revoke(request: Request, asked: i.TokenRef) -> Response:
    """Revokes a token, at once and everywhere: one's own, or, for an admin, anybody's."""
    context = request.context
    token: UUID = asked.token
    await request.edge.tokens.revoke(token, None if context.is_admin else context.user)
    await request.edge.changes.publish(context.user)
    return Reply(status=204)


async def login(request: Request, asked: i.Login) -> Response:
    """A token for name and password. The answer to a wrong password and to an unknown name is the same, and takes as long."""
    edge, client = request.edge, (request.scope.get("client") or ("",))[0]
    edge.failures.check(client)
    row = await edge.users.find(asked.user)
    known = None if row is None or row["disabled_at"] is not None else row["password"]
    if not await edge.passwords.is_right(known, asked.password):
        edge.failures.take(client)
        raise Unauthenticated("this name and this password do not belong together")
    assert row is not None
    token, expires_at = new_token(), edge.clock.now() + LOGIN
    made = await edge.tokens.add(asked.user, token, label="login", expires_at=expires_at)
    return Reply(i.UserToken(str(made), asked.user, list(row["roles"]), token, rfc3339_or_none(expires_at)), 201)


ROUTES: Final = [
    Route(
        method="POST",
        path=f"{ROOT}/tokens",
        needs=IDENTITY,
        action="token.create",
        handler=create,
        summary="Makes a further token.",
        message=i.TokenCreate,
        reply=i.UserToken,
        status=201,
    ),
    Route(
        method="GET",
        path=f"{ROOT}/tokens",
        needs=IDENTITY,
        action="token.list",
        handler=page,
        summary="The valid tokens of the asker.",
        message=i.TokenList,
        reply=i.TokenPage,
    ),
    Route(
        method="DELETE",
        path=f"{ROOT}/tokens/{{token}}",
        needs=IDENTITY,
        action="token.revoke",
        handler=revoke,
        summary="Revokes a token.",
        message=i.TokenRef,
        status=204,
    ),
    Route(
        method="POST",
        path=f"{ROOT}/login",
        needs=None,
        handler=login,
        summary="A token for a name and a password, valid for twelve hours.",
        message=i.Login,
        reply=i.UserToken,
        status=201,
    ),
]
