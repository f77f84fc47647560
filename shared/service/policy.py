"""Who may do what to which thing: the roles' permissions, and the rules of the operator's policy file over them.

    [[rule]]
    subject = "group:guests"      # user:<name>, group:<name> or role:<name>; * in place of the name: any
    action = "session.*"          # <noun>.<verb>, as docs/endpoints.md has them; * stands for anything
    resource = "partition/gpu*"   # what it is done to; all if not given
    allow = false

Nothing is allowed but by a role or by a rule that allows it; a rule that denies goes before all that allow. The admin is subject to
no rule, so that nobody locks the operator out.
"""

import tomllib
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Final, Protocol

import msgspec

from shared.contracts.errors import Forbidden, Unavailable
from shared.contracts.permissions import allows
from shared.runtime.log import log
from shared.service.context import Context

MOST_RULES: Final = 1000
NO_THING: Final = ""
"""The resource of what is done to no thing that has a name yet: lists, and what is made."""

Resource = Callable[[], str]
"""Gives `<noun>/<id>` of what is asked for; called only if a rule needs to know."""


class Decision(msgspec.Struct, frozen=True):
    """`reason`: a sentence that names the role, the scope or the rule that decided."""

    allowed: bool
    reason: str


class Permissions(Protocol):
    """Decides about every request, on every way in."""

    async def check(self, context: Context, action: str, needs: str, resource: Resource) -> Decision:
        """Whether the asker may do it. Unavailable if that cannot be known now: it is then no yes.

        action    `<noun>.<verb>`
        needs     the permission that roles give
        resource  what it is done to
        """
        ...


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One rule of a policy file."""

    subject: Annotated[str, msgspec.Meta(pattern=r"^(user|group|role):[A-Za-z0-9*][A-Za-z0-9_*-]{0,62}$(?!\n)")]
    action: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9_.*-]{1,64}$(?!\n)")]
    allow: bool
    resource: Annotated[str, msgspec.Meta(max_length=1024)] = "*"

    def is_about(self, context: Context) -> bool:
        """Whether the asker is among its subjects."""
        kind, _, name = self.subject.partition(":")
        names = {"user": (context.user,), "group": context.groups, "role": context.roles}[kind]
        return any(bool(one) and fnmatchcase(one, name) for one in names)


class PolicyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a policy file says."""

    rule: Annotated[tuple[Rule, ...], msgspec.Meta(max_length=MOST_RULES)] = ()


def parse(text: str) -> tuple[Rule, ...]:
    """The rules of a policy file. ValueError says what is wrong, and in which rule."""
    try:
        return msgspec.convert(tomllib.loads(text), PolicyFile).rule
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ValueError(str(error)) from None


class Policy:
    """Roles, and rules over them. The rules that could be about an action are looked up, not searched."""

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self.rules = tuple(rules)
        self._about = lru_cache(1024)(self._find)

    def _find(self, action: str) -> tuple[tuple[int, Rule], ...]:
        return tuple((n, rule) for n, rule in enumerate(self.rules, 1) if fnmatchcase(action, rule.action))

    async def check(self, context: Context, action: str, needs: str, resource: Resource) -> Decision:
        """`Permissions.check`."""
        return self.decide(context, action, needs, resource)

    def decide(self, context: Context, action: str, needs: str, resource: Resource) -> Decision:
        """Scope first: a token that is limited is so whatever the rules say."""
        if context.scope is not None and needs not in context.scope:
            return Decision(False, f"this needs the permission {needs!r}, which is not in the scope of this token")
        if not (self.rules and context.user) or context.is_admin:
            return _of_roles(context, needs)
        allowed: Decision | None = None
        for number, rule in self._about(action):
            if not rule.is_about(context) or (rule.resource != "*" and not fnmatchcase(resource(), rule.resource)):
                continue
            if not rule.allow:
                return Decision(False, f"rule {number} of the policy denies {rule.action} to {rule.subject}")
            allowed = allowed or Decision(True, f"rule {number} of the policy allows {rule.action} to {rule.subject}")
        return allowed or _of_roles(context, needs)


@lru_cache(256)
def _granted(roles: tuple[str, ...], needs: str) -> Decision | None:
    if not allows(roles, needs):
        return None
    return Decision(True, f"{' or '.join(roles)} gives the permission {needs!r}")


def _of_roles(context: Context, needs: str) -> Decision:
    if (granted := _granted(context.roles, needs)) is not None:
        return granted
    return Decision(False, f"this needs the permission {needs!r}, which {context.user or 'nobody'} has not")


class FilePolicy:
    """The policy of a file, read again when it has changed. A file that is wrong, or gone, leaves what was there before."""

    def __init__(self, path: Path) -> None:
        """SystemExit if the file cannot be read, or is wrong: a service does not start with another policy than it was given."""
        self._path = path
        self._stamp: tuple[int, int] | None = None
        try:
            self._policy = self._read()
        except (OSError, ValueError) as error:
            raise SystemExit(f"HEADRACE_POLICY_FILE: {path}: {error}") from None

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Those that count now."""
        return self._policy.rules

    def _read(self) -> Policy:
        seen = self._path.stat()
        policy = Policy(parse(self._path.read_text(encoding="utf-8")))
        self._stamp = (seen.st_mtime_ns, seen.st_size)
        return policy

    async def refresh(self) -> int:
        """Reads the file if it is not the one that was read. Returns whether it was (0 or 1)."""
        try:
            seen = self._path.stat()
            if (seen.st_mtime_ns, seen.st_size) == self._stamp:
                return 0
            self._policy = self._read()
        except (OSError, ValueError) as error:
            log.error("policy.not_read", path=str(self._path), error=str(error))
            return 0
        log.info("policy.read", path=str(self._path), rules=len(self.rules))
        return 1

    async def check(self, context: Context, action: str, needs: str, resource: Resource) -> Decision:
        """`Permissions.check`."""
        return self._policy.decide(context, action, needs, resource)


async def require(permissions: Permissions, context: Context, action: str, needs: str, resource: Resource) -> None:
    """Forbidden if the asker may not do it; Unavailable if nobody can say so now, whatever went wrong."""
    try:
        decision = await permissions.check(context, action, needs, resource)
    except Unavailable:
        raise
    except Exception as error:
        log.error("permissions.failed", action=action, user=context.user, error=repr(error), exc_info=error)
        raise Unavailable("who may do what cannot be looked up now; try again") from None
    if not decision.allowed:
        raise Forbidden(decision.reason)
