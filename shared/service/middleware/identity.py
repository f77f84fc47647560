"""Makes the context of every message that asks something: the one place where the bus's words become a user.

On `hr.rpc` only services and workers may publish, so the headers are theirs to say. On `hr.cmd` and `hr.watch` the user is the
subject's token, which the publisher's NATS permissions bind, and no header says anything of who asks.
"""

from collections.abc import Mapping
from typing import Final

from shared.bus import trace
from shared.contracts import headers as h
from shared.contracts.errors import Invalid
from shared.service.context import Context, assumed_roles

LONGEST_KEY: Final = 255
"""Characters of an idempotency key."""


def of_request(subject: str, headers: Mapping[str, str] | None) -> Context:
    """The context of a request. Invalid if the headers cannot be used."""
    found = _checked(headers)
    user = found.get(h.USER, "")
    roles = found.get(h.ROLES)
    return Context(
        user=user,
        groups=_names(found.get(h.GROUPS, "")),
        roles=assumed_roles(user) if roles is None else _names(roles),
        via=found.get(h.VIA, ""),
        subject=subject,
        headers=found,
        trace=trace.accept(found.get(h.TRACE)),
        key=found.get(h.IDEMPOTENCY_KEY, ""),
    )


def of_command(subject: str, headers: Mapping[str, str] | None, sequence: str) -> Context:
    """The context of a command. `sequence`: its place in the stream.

    Without a key of its own, its place is the key: delivered twice, it acts once. Invalid if the headers cannot be used.
    """
    found = _checked(headers)
    user = subject.split(".")[2]
    return Context(
        user=user,
        roles=assumed_roles(user),
        via="command",
        subject=subject,
        headers=found,
        trace=trace.accept(found.get(h.TRACE)),
        key=found.get(h.IDEMPOTENCY_KEY, "") or f"command:{sequence}",
        durable=True,
    )


def of_watch(subject: str, headers: Mapping[str, str] | None) -> Context:
    """The context of a question on `hr.watch.<user>.…`."""
    user = subject.split(".")[2]
    parent = trace.accept((headers or {}).get(h.TRACE))
    return Context(
        user=user, roles=assumed_roles(user), via="watch", subject=subject, headers=headers or {}, trace=parent
    )


def headers_of(context: Context, via: str) -> dict[str, str]:
    """The headers with which the service `via` passes on who asks: `of_request` reads them."""
    fields = {h.USER: context.user, h.ROLES: ",".join(context.roles), h.VIA: via}
    return {**fields, h.GROUPS: ",".join(context.groups)} if context.groups else fields


def _names(header: str) -> tuple[str, ...]:
    return tuple(header.split(",")) if header else ()


def _checked(headers: Mapping[str, str] | None) -> Mapping[str, str]:
    """Invalid if they cannot be read, or if the idempotency key is no key: without it the request would act twice."""
    found = headers or {}
    if why := found.get(h.UNREADABLE):
        raise Invalid(why, field="headers")
    key = found.get(h.IDEMPOTENCY_KEY, "")
    if len(key) > LONGEST_KEY or not (key.isprintable() and "\ufffd" not in key):
        raise Invalid(f"at most {LONGEST_KEY} characters, all of them printable", field=h.IDEMPOTENCY_KEY)
    return found
