"""Who asks: the header on requests, the subject's token on commands."""

import pytest

from shared.bus import trace
from shared.contracts import permissions
from shared.contracts.errors import Forbidden
from shared.service.context import Context
from shared.service.middleware.identity import headers_of, of_command, of_request, of_watch
from shared.service.middleware.permission import require

PARENT = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"


def test_a_requests_context_is_in_its_headers() -> None:
    ctx = of_request("hr.rpc.s.n.v", {"Hr-User": "ann", "Idempotency-Key": "k", "traceparent": PARENT})
    assert (ctx.user, ctx.key, ctx.trace, ctx.durable, ctx.is_admin) == ("ann", "k", PARENT, False, False)
    assert of_request("hr.rpc.s.n.v", {"Hr-User": "admin"}).is_admin
    nobody = of_request("hr.rpc.s.n.v", None)
    assert (nobody.user, nobody.key, nobody.is_admin) == ("", "", False)


def test_roles_are_what_the_gateway_says_or_what_the_name_alone_lets_assume() -> None:
    assert of_request("hr.rpc.s.n.v", {"Hr-User": "ann", "Hr-Roles": "reader,operator"}).roles == ("reader", "operator")
    assert of_request("hr.rpc.s.n.v", {"Hr-User": "ann", "Hr-Roles": ""}).roles == ()
    assert of_request("hr.rpc.s.n.v", {"Hr-User": "ann"}).roles == ("user",)
    assert of_request("hr.rpc.s.n.v", {"Hr-User": "admin"}).roles == ("admin",)
    assert of_request("hr.rpc.s.n.v", {}).roles == ("worker",)


def test_no_header_gives_a_command_roles_or_groups() -> None:
    ctx = of_command("hr.cmd.bob.s.n.v", {"Hr-Roles": "admin", "Hr-Groups": "staff", "Hr-Via": "gateway"}, "i:7")
    assert (ctx.roles, ctx.groups, ctx.via) == (("user",), (), "command")
    watch = of_watch("hr.watch.bob.session", {"Hr-Roles": "admin", "traceparent": PARENT})
    assert (watch.user, watch.roles, watch.via, watch.trace) == ("bob", ("user",), "watch", PARENT)


def test_who_asks_is_passed_on_whole() -> None:
    ann = Context("ann", groups=("physics", "staff"), roles=("reader",), via="http")
    there = of_request("hr.rpc.s.n.v", headers_of(ann, "gateway"))
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
        ((), None, True),
    ],
)
def test_what_an_endpoint_needs_is_checked_against_roles(roles: tuple[str, ...], needs: str, allowed: bool) -> None:
    context = Context("ann", roles=roles)
    if allowed:
        require(context, needs)
        return
    with pytest.raises(Forbidden, match=needs):
        require(context, needs)


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
