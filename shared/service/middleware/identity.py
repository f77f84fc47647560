"""Makes the context of every message that asks something: the one place where the bus's words become a user.

On `hr.rpc` the user is whom a delegation names (`shared/contracts/delegation.py`), which is signed by a service that may; without
one it is nobody. On `hr.cmd` and `hr.watch` the user is the subject's token, which the publisher's NATS permissions bind, and no
header says anything of who asks.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from shared.bus import trace
from shared.bus.delegations import NOBODY, Delegations, Who
from shared.contracts import headers as h
from shared.contracts.delegation import Delegation
from shared.contracts.errors import Invalid, Unauthenticated
from shared.contracts.permissions import SITE, WORKER
from shared.contracts.subjects import PILOTS
from shared.service.context import Context, assumed_roles

LONGEST_KEY: Final = 255
"""Characters of an idempotency key."""


class _Sender(msgspec.Struct):
    acc: str = ""


_sender = msgspec.json.Decoder(_Sender).decode
NOT_SIGNED: Final = Delegation("", "", (), 0, roles=(WORKER,))
"""Who asks without a delegation: a worker."""


def of_request(subject: str, headers: Mapping[str, str] | None, delegations: Delegations) -> Context:
    """The context of a request on `subject`.

    Invalid if the headers cannot be used; Unauthenticated if its delegation is no good, or if it names a user without one.
    """
    found = _checked(headers)
    signed = found.get(h.DELEGATION)
    one = NOT_SIGNED if signed is None else delegations.check(signed, subject)
    if signed is None and (bare := next((name for name in h.BARE if name in found), "")):
        raise Unauthenticated(f"{bare} says nothing of who asks: a header {h.DELEGATION} does", field=bare)
    return Context(
        user=one.user,
        groups=one.groups,
        roles=(SITE,) if one.site and not one.user else one.roles,
        scope=one.scope,
        via=one.by,
        site=site_of_worker(found) if signed is None else one.site,
        offer=one.offer,
        subject=subject,
        headers=found,
        trace=trace.accept(found.get(h.TRACE)),
        key=found.get(h.IDEMPOTENCY_KEY, ""),
    )


def site_of_worker(headers: Mapping[str, str]) -> str:
    """The site whose worker has sent a message without a delegation, as the server says; empty: one of the facility."""
    if (info := headers.get(h.FROM_ACCOUNT)) is None:
        return ""
    account = _sender(info).acc
    return account.removeprefix(PILOTS) if account.startswith(PILOTS) else ""


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


def headers_of(context: Context | None, delegations: Delegations, subject: str) -> dict[str, str]:
    """The headers that say for whom this process asks `subject`: `of_request` reads them. `context` None: for itself.

    A worker has no key, and asks for itself without any.
    """
    if context is None and not delegations.issuer:
        return {}
    return {h.DELEGATION: delegations.header(NOBODY if context is None else _who(context), subject)}


def _who(context: Context) -> Who:
    return context.user, context.roles, context.groups, context.scope


def _checked(headers: Mapping[str, str] | None) -> Mapping[str, str]:
    """Invalid if they cannot be read, or if the idempotency key is no key: without it the request would act twice."""
    found = headers or {}
    if why := found.get(h.UNREADABLE):
        raise Invalid(why, field="headers")
    key = found.get(h.IDEMPOTENCY_KEY, "")
    if len(key) > LONGEST_KEY or not (key.isprintable() and "\ufffd" not in key):
        raise Invalid(f"at most {LONGEST_KEY} characters, all of them printable", field=h.IDEMPOTENCY_KEY)
    return found
