"""Users and their groups, in the gateway's own tables."""

from typing import Any

import asyncpg

from shared.contracts.errors import AlreadyExists, NotFound
from shared.contracts.identity import Group, GroupPage, User, UserPage
from shared.contracts.permissions import ADMIN
from shared.db.pool import translated
from shared.db.sql import Row, load
from shared.runtime.clock import rfc3339, rfc3339_or_none

Q = load(__file__, "users.sql")


class Users:
    """The tables `users`, `groups` and `memberships`. Every call raises Unavailable while the database is away."""

    def __init__(self, pool: "asyncpg.Pool[Any]") -> None:
        self._pool = pool

    async def put_admin(self) -> None:
        """Makes the user `admin`, if there is none."""
        await translated(Q.put_user.execute(self._pool, name=ADMIN, roles=[ADMIN], password=None))

    async def add(self, name: str, roles: list[str], password: str | None = None) -> None:
        """Makes a user; nothing happens if one is there with the same roles. AlreadyExists if they are others. `password`: encoded."""
        kept = await translated(Q.put_user.fetchval(self._pool, name=name, roles=sorted(roles), password=password))
        if kept != sorted(roles):
            raise AlreadyExists(f"user {name} exists with other roles", field="roles")

    async def find(self, name: str) -> Row | None:
        """The user's row, with `groups`; None if there is none."""
        found: Row | None = await translated(Q.user.fetchrow(self._pool, name=name))
        return found

    async def is_disabled(self, name: str) -> bool:
        """Whether the user was shut out; False for one who is not known here."""
        row = await self.find(name)
        return row is not None and row["disabled_at"] is not None

    async def get(self, name: str) -> User:
        """NotFound if there is none."""
        if (row := await self.find(name)) is None:
            raise _no_user(name)
        return _user(row)

    async def page(self, after: str, size: int) -> UserPage:
        """In the order of names; the token of the next page is the last name."""
        rows = await translated(Q.users.fetch(self._pool, after=after, size=size + 1))
        return UserPage([_user(row) for row in rows[:size]], rows[size - 1]["name"] if len(rows) > size else "")

    async def update(self, name: str, roles: list[str] | None, password: str | None, disabled: bool | None) -> None:
        """None: stays. `password`: encoded; an empty one takes it away. NotFound if there is no such user."""
        values = {"roles": roles, "password": password, "disabled": disabled}
        if await translated(Q.update_user.fetchval(self._pool, name=name, **values)) is None:
            raise _no_user(name)

    # -- groups

    async def add_group(self, name: str) -> None:
        """Nothing happens if it is there."""
        await translated(Q.put_group.execute(self._pool, name=name))

    async def groups(self, after: str, size: int) -> GroupPage:
        """In the order of names; the token of the next page is the last name."""
        rows = await translated(Q.groups.fetch(self._pool, after=after, size=size + 1))
        items = [Group(row["name"], row["members"], rfc3339(row["created_at"])) for row in rows[:size]]
        return GroupPage(items, rows[size - 1]["name"] if len(rows) > size else "")

    async def delete_group(self, name: str) -> None:
        """NotFound if there is none."""
        if await translated(Q.delete_group.fetchval(self._pool, name=name)) is None:
            raise NotFound(f"there is no group {name}", field="group")

    async def add_member(self, group: str, user: str) -> None:
        """Nothing happens if the user is in it. NotFound if there is no such group or user."""
        try:
            await translated(Q.add_member.execute(self._pool, group=group, user=user))
        except asyncpg.ForeignKeyViolationError as error:
            missing = "user" if error.constraint_name == "memberships_user_name_fkey" else "group"
            raise NotFound(f"there is no such {missing}", field=missing) from None

    async def remove_member(self, group: str, user: str) -> None:
        """Nothing happens if the user is not in it."""
        await translated(Q.remove_member.execute(self._pool, group=group, user=user))


def _no_user(name: str) -> NotFound:
    return NotFound(f"there is no user {name}", field="name")


def _user(row: Row) -> User:
    created, disabled = rfc3339(row["created_at"]), rfc3339_or_none(row["disabled_at"])
    return User(row["name"], list(row["roles"]), list(row["groups"]), row["password"] is not None, created, disabled)
