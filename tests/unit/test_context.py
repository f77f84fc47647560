"""Who asks: the header on requests, the subject's token on commands."""

import pytest

from shared.bus import trace
from shared.bus.delegations import Delegations
from shared.contracts import permissions
from shared.contracts.errors import Forbidden, Unauthenticated
from shared.service.context import Context
from shared.service.middleware.identity import headers_of, of_command, of_request, of_watch
from shared.service.policy import NO_THING, Policy, require
from shared.testing.bus import MemoryKeys

PARENT = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"


REQUEST = "hr.rpc.scheduler.session.get"
KEYS = MemoryKeys()
GATEWAY = Delegations("gateway", KEYS.signature("gateway"), KEYS)


def asked(user: str, roles: tuple[str, ...] = (), **headers: str) -> Context:
    """The context of a request that the gateway has passed on."""
    signed = headers_of(Context(user, roles=roles), GATEWAY, REQUEST)
    return of_request(REQUEST, signed | headers, GATEWAY)


def test_a_requests_context_is_in_its_headers() -> None:
    ctx = asked("ann", ("reader", "operator"), **{"Idempotency-Key": "k", "traceparent": PARENT})
    assert (ctx.user, ctx.key, ctx.trace, ctx.durable, ctx.is_admin) == ("ann", "k", PARENT, False, False)
    assert (ctx.roles, ctx.via, ctx.subject) == (("reader", "operator"), "gateway", REQUEST)
    assert asked("admin", ("admin",)).is_admin
    assert asked("ann").roles == (), "nothing is assumed of whom the gateway knows"


def test_who_shows_no_delegation_is_nobody() -> None:
    nobody = of_request(REQUEST, None, GATEWAY)
    assert (nobody.user, nobody.roles, nobody.key, nobody.is_admin) == ("", ("worker",), "", False)
    itself = of_request(REQUEST, headers_of(None, GATEWAY, REQUEST), GATEWAY)
    assert (itself.user, itself.roles, itself.via) == ("", (), "gateway")
    assert headers_of(None, Delegations(), REQUEST) == {}, "a worker asks for itself"


@pytest.mark.parametrize("name", ["Hr-User", "Hr-Roles", "Hr-Groups"])
@pytest.mark.parametrize("value", ["ann", "admin", ""])
def test_a_bare_name_is_refused(name: str, value: str) -> None:
    with pytest.raises(Unauthenticated) as refused:
        of_request(REQUEST, {name: value}, GATEWAY)
    assert refused.value.field == name


def test_a_bare_name_beside_a_delegation_changes_nothing() -> None:
    ctx = asked("ann", ("user",), **{"Hr-User": "admin", "Hr-Roles": "admin", "Hr-Groups": "staff"})
    assert (ctx.user, ctx.roles, ctx.groups) == ("ann", ("user",), ())


def test_a_delegation_of_another_operation_is_refused() -> None:
    signed = headers_of(Context("ann"), GATEWAY, "hr.rpc.scheduler.session.list")
    with pytest.raises(Unauthenticated):
        of_request(REQUEST, signed, GATEWAY)


def test_no_header_gives_a_command_roles_or_groups() -> None:
    ctx = of_command("hr.cmd.bob.s.n.v", {"Hr-Roles": "admin", "Hr-Groups": "staff", "Hr-Via": "gateway"}, "i:7")
    assert (ctx.roles, ctx.groups, ctx.via) == (("user",), (), "command")
    watch = of_watch("hr.watch.bob.session", {"Hr-Roles": "admin", "traceparent": PARENT})
    assert (watch.user, watch.roles, watch.via, watch.trace) == ("bob", ("user",), "watch", PARENT)


def test_who_asks_is_passed_on_whole() -> None:
    ann = Context("ann", groups=("physics", "staff"), roles=("reader",), via="http")
    there = of_request(REQUEST, headers_of(ann, GATEWAY, REQUEST), GATEWAY)
    assert (there.user, there.groups, there.roles, there.via) == ("ann", ann.groups, ann.roles, "gateway")


@pytest.mark.parametrize(
    ("roles", "needs", "allowed"),
    [
        (("user",), permissions.COMPUTE_WRITE, True),
        (("reader",), permissions.COMPUTE_READ, True),
        (("reader",), permissions.COMPUTE_WRITE, False),
        (("reader", "user"), permissions.COMPUTE_WRITE, True),
        (("operator",), permissions.OPS, True),
        (("admin",), permissions.WORK, False),
        (("worker",), permissions.WORK, True),
        (("worker",), permissions.COMPUTE_READ, False),
        (("nobody knows",), permissions.COMPUTE_READ, False),
    ],
)
async def test_what_an_endpoint_needs_is_checked_against_roles(
    roles: tuple[str, ...], needs: str, allowed: bool
) -> None:
    asked = require(Policy(), Context("ann", roles=roles), "thing.do", needs, lambda: NO_THING)
    if allowed:
        await asked
        return
    with pytest.raises(Forbidden, match=needs):
        await asked


def test_a_commands_user_is_bound_by_its_subject() -> None:
    ctx = of_command("hr.cmd.bob.s.n.v", {"Hr-User": "admin"}, "incarnation:7")
    assert (ctx.user, ctx.key, ctx.durable, ctx.is_admin) == ("bob", "command:incarnation:7", True, False)
    assert of_command("hr.cmd.bob.s.n.v", {"Idempotency-Key": "own"}, "7").key == "own"


def test_a_malformed_trace_is_replaced() -> None:
    for wrong in (None, "", "00-xyz", PARENT + "0", PARENT.upper()):
        made = trace.accept(wrong)
        assert made != wrong
        assert trace.accept(made) == made
    assert trace.trace_id(PARENT) == "0123456789abcdef0123456789abcdef"
