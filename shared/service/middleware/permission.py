"""Checks who asks against what the endpoint needs: the same check for requests, for commands and at the HTTP edge."""

from shared.contracts.errors import Forbidden
from shared.contracts.permissions import allows
from shared.service.context import Context, Handler, Middleware


def require(context: Context, needs: str | None) -> None:
    """Forbidden if the asker's roles do not give the permission, or the token's scope leaves it out; None needs none."""
    if needs is None:
        return
    if not allows(context.roles, needs):
        raise Forbidden(f"this needs the permission {needs!r}, which {context.user or 'nobody'} has not")
    if context.scope is not None and needs not in context.scope:
        raise Forbidden(f"this needs the permission {needs!r}, which is not in the scope of this token")


def permission(needs: str | None) -> Middleware:
    """The handler, for those who may ask for it."""

    def layer(handler: Handler) -> Handler:
        async def permitted(ctx: Context, data: bytes) -> bytes:
            require(ctx, needs)
            return await handler(ctx, data)

        return permitted

    return layer
