"""`/ops/v1/users` and `/ops/v1/groups`: made and changed by an admin, seen by operators."""

from typing import Final

import msgspec

from services.gateway.http.asgi import Response
from services.gateway.http.reply import Reply
from services.gateway.http.request import Request
from services.gateway.http.route import Route
from services.gateway.identity.auth import new_token
from shared.contracts import identity as i
from shared.contracts.errors import Forbidden, Invalid
from shared.contracts.paging import Page
from shared.contracts.permissions import ADMIN, OPS

ROOT: Final = "/ops/v1"


def only_admins(request: Request) -> None:
    """Forbidden to others: whoever may look after queues could otherwise make an admin of themselves."""
    if not request.context.is_admin:
        raise Forbidden("only an admin may do this")
    if request.context.scope is not None:  # a first token, or a login with a new password, would not be limited
        raise Forbidden("a token of limited scope may not do this")


async def create(request: Request, asked: i.UserCreate) -> Response:
    """Makes a user, with a first token; or a further token of one who is there with the same roles."""
    only_admins(request)
    if i.is_reserved(asked.name):
        raise Invalid(f"{asked.name!r} is a name of a service, a site or a worker", field="name")
    if why := i.check_roles(asked.name, asked.roles):
        raise Invalid(why, field="roles")
    edge = request.edge
    encoded = None if asked.password is None else await edge.passwords.encode(asked.password)
    await edge.users.add(asked.name, list(asked.roles), encoded)
    token = new_token()
    made = await edge.tokens.add(asked.name, token)
    return Reply(i.UserToken(str(made), asked.name, sorted(asked.roles), token), 201)


async def update(request: Request, asked: i.UserUpdate) -> Response:
    """Changes roles or password, disables a user or lets them in again."""
    only_admins(request)
    if asked.roles is not None and (why := i.check_roles(asked.name, asked.roles)):
        raise Invalid(why, field="roles")
    if asked.disabled and asked.name == ADMIN:
        raise Invalid("the admin cannot be disabled: nobody could undo it", field="disabled")
    password: str | None = None
    if asked.password is not msgspec.UNSET:
        password = "" if asked.password is None else await request.edge.passwords.encode(asked.password)
    roles: list[str] | None = None if asked.roles is None else sorted(asked.roles)
    await request.edge.users.update(asked.name, roles, password, asked.disabled)
    await request.edge.changes.publish(asked.name)
    return Reply(await request.edge.users.get(asked.name))


async def get(request: Request, asked: i.UserRef) -> Response:
    """A user."""
    return Reply(await request.edge.users.get(asked.name))


async def page(request: Request, asked: Page) -> Response:
    """A page of the users."""
    return Reply(await request.edge.users.page(asked.token, asked.size))


async def create_group(request: Request, asked: i.GroupCreate) -> Response:
    """Makes a group."""
    only_admins(request)
    await request.edge.users.add_group(asked.name)
    return Reply(status=204)


async def delete_group(request: Request, asked: i.GroupRef) -> Response:
    """Deletes a group; its members lose what they had by it."""
    only_admins(request)
    await request.edge.users.delete_group(asked.group)
    await request.edge.changes.publish("")
    return Reply(status=204)


async def groups(request: Request, asked: Page) -> Response:
    """A page of the groups."""
    return Reply(await request.edge.users.groups(asked.token, asked.size))


async def add_member(request: Request, asked: i.Membership) -> Response:
    """Puts a user into a group."""
    only_admins(request)
    await request.edge.users.add_member(asked.group, asked.user)
    await request.edge.changes.publish(asked.user)
    return Reply(status=204)


async def remove_member(request: Request, asked: i.Membership) -> Response:
    """Takes a user out of a group."""
    only_admins(request)
    await request.edge.users.remove_member(asked.group, asked.user)
    await request.edge.changes.publish(asked.user)
    return Reply(status=204)


ROUTES: Final = [
    Route(
        method="POST",
        path=f"{ROOT}/users",
        needs=OPS,
        action="user.create",
        handler=create,
        summary="Makes a user, or a further token of one.",
        message=i.UserCreate,
        reply=i.UserToken,
        status=201,
    ),
    Route(
        method="GET",
        path=f"{ROOT}/users",
        needs=OPS,
        action="user.list",
        handler=page,
        summary="The users.",
        message=Page,
        reply=i.UserPage,
    ),
    Route(
        method="GET",
        path=f"{ROOT}/users/{{name}}",
        needs=OPS,
        action="user.get",
        handler=get,
        summary="A user.",
        message=i.UserRef,
        reply=i.User,
    ),
    Route(
        method="PATCH",
        path=f"{ROOT}/users/{{name}}",
        needs=OPS,
        action="user.update",
        handler=update,
        summary="Changes a user's roles or password, or disables them.",
        message=i.UserUpdate,
        reply=i.User,
    ),
    Route(
        method="POST",
        path=f"{ROOT}/groups",
        needs=OPS,
        action="group.create",
        handler=create_group,
        summary="Makes a group.",
        message=i.GroupCreate,
        status=204,
    ),
    Route(
        method="GET",
        path=f"{ROOT}/groups",
        needs=OPS,
        action="group.list",
        handler=groups,
        summary="The groups.",
        message=Page,
        reply=i.GroupPage,
    ),
    Route(
        method="DELETE",
        path=f"{ROOT}/groups/{{group}}",
        needs=OPS,
        action="group.delete",
        handler=delete_group,
        summary="Deletes a group.",
        message=i.GroupRef,
        status=204,
    ),
    Route(
        method="PUT",
        path=f"{ROOT}/groups/{{group}}/members/{{user}}",
        needs=OPS,
        action="group.add",
        handler=add_member,
        summary="Puts a user into a group.",
        message=i.Membership,
        status=204,
    ),
    Route(
        method="DELETE",
        path=f"{ROOT}/groups/{{group}}/members/{{user}}",
        needs=OPS,
        action="group.remove",
        handler=remove_member,
        summary="Takes a user out of a group.",
        message=i.Membership,
        status=204,
    ),
]
