"""Users, groups and tokens: who may use the edge. The gateway's; other services learn of them by delegations."""

from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec

from shared.contracts import subjects
from shared.contracts.compute.options import Label, PartitionName
from shared.contracts.paging import PageSize
from shared.contracts.permissions import ADMIN

VERSION: Final = 1

UserName = PartitionName
"""Also the user's token in NATS subjects."""
GroupName = PartitionName
Role = Literal["admin", "operator", "user", "reader"]
Password = Annotated[str, msgspec.Meta(min_length=12, max_length=256)]
Scope = Annotated[tuple[Annotated[str, msgspec.Meta(max_length=64)], ...], msgspec.Meta(min_length=1, max_length=32)]

RESERVED: Final = frozenset({*subjects.SERVICES, subjects.WORKER, "system", "headrace", "site", "nobody"})
"""Names that no user has: those of services, workers and accounts."""
RESERVED_PREFIXES: Final = ("broker-", "site-", "pilot-", "worker-")


def is_reserved(name: str) -> bool:
    """Whether a service, a site or a worker has this name, or could have it."""
    return name in RESERVED or name.startswith(RESERVED_PREFIXES)


class UserCreate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`password`: for a login with name and password; without one the user has tokens alone."""

    name: UserName
    roles: tuple[Role, ...] = ("user",)
    password: Password | None = None


class UserUpdate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A field that is not given stays. `password` null takes it away; `disabled` ends all tokens' use at once, until it is false again."""

    name: UserName
    roles: tuple[Role, ...] | None = None
    password: Password | msgspec.UnsetType | None = msgspec.UNSET
    disabled: bool | None = None


class User(msgspec.Struct, frozen=True):
    """`has_password`: may log in with one. `created_at`, `disabled_at`: RFC 3339."""

    name: str
    roles: list[str]
    groups: list[str]
    has_password: bool
    created_at: str
    disabled_at: str | None = None


class UserRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names a user."""

    name: UserName


class UserPage(msgspec.Struct, frozen=True):
    """In the order of names."""

    items: list[User]
    next: str = ""


class GroupCreate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A group without members."""

    name: GroupName


class GroupRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names a group."""

    group: GroupName


class Membership(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A user in a group."""

    group: GroupName
    user: UserName


class Group(msgspec.Struct, frozen=True):
    """`members`: how many users are in it."""

    name: str
    members: int
    created_at: str


class GroupPage(msgspec.Struct, frozen=True):
    """In the order of names."""

    items: list[Group]
    next: str = ""


class TokenCreate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A further token. A token of limited scope makes none that may more.

    user             whose; only an admin names another than themselves
    label            what the owner calls it
    scope            the permissions that it is limited to; None: those of the user's roles
    expires_seconds  how long it is valid (a minute to ten years); None: as long as the token that makes it
    """

    user: UserName | None = None
    label: Label = ""
    scope: Scope | None = None
    expires_seconds: Annotated[int, msgspec.Meta(ge=60, le=10 * 366 * 86_400)] | None = None


class TokenList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The asker's tokens that are valid, newest first; of another user, or of all, for an admin alone."""

    user: UserName | None = None
    all: bool = False
    size: PageSize = 100
    token: str = ""


class TokenRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A token by its id."""

    token: UUID


class Token(msgspec.Struct, frozen=True):
    """A token as lists show it: never the token itself."""

    id: UUID
    user: str
    label: str
    scope: list[str] | None
    created_at: str
    expires_at: str | None


class TokenPage(msgspec.Struct, frozen=True):
    """Newest first."""

    items: list[Token]
    next: str = ""


class UserToken(msgspec.Struct, frozen=True):
    """A new token. `token` is shown this once only; `id` names it, to revoke it."""

    id: str
    user: str
    roles: list[str]
    token: str
    expires_at: str | None = None


class Login(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Name and password of a local user."""

    user: UserName
    password: Annotated[str, msgspec.Meta(max_length=256)]


class Explain(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """May `user` do `action` (`session.create`) to `thing` (`session/<id>`, `dataset/<pid>`, `partition/<name>`; empty: to no thing that has a name)?"""

    user: UserName
    action: Annotated[str, msgspec.Meta(max_length=64)]
    thing: Annotated[str, msgspec.Meta(max_length=1024)] = ""


class Explained(msgspec.Struct, frozen=True):
    """The answer, why, and what it follows from. Whose a thing is counts besides: what is not theirs does not exist for a user."""

    allowed: bool
    reason: str
    needs: str
    roles: list[str]
    groups: list[str]


class PolicyRule(msgspec.Struct, frozen=True):
    """A rule of the policy file. `number`: its place there, from 1."""

    number: int
    subject: str
    action: str
    resource: str
    allow: bool


class PolicyShown(msgspec.Struct, frozen=True):
    """What counts now: the permissions of each role, the rules over them, and what each action needs."""

    roles: dict[str, list[str]]
    rules: list[PolicyRule]
    actions: dict[str, str]


class UserChanged(msgspec.Struct, frozen=True):
    """Roles, groups or tokens of a user have changed, or whether the user may use the edge. `user`: empty for all of a group."""

    user: str


def check_roles(name: str, roles: tuple[str, ...]) -> str:
    """What is wrong with these roles for this user; empty: nothing."""
    if (ADMIN in roles) != (name == ADMIN):
        return "the role admin belongs to the user admin, and to no other"
    return "" if roles else "a user has at least one role"
