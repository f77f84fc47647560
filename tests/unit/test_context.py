"""Who asks: the header on requests, the subject's token on commands."""

from shared.bus import trace
from shared.service.middleware.identity import of_command, of_request

PARENT = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"


def test_a_requests_context_is_in_its_headers() -> None:
    ctx = of_request("hr.rpc.s.n.v", {"Hr-User": "ann", "Idempotency-Key": "k", "traceparent": PARENT})
    assert (ctx.user, ctx.key, ctx.trace, ctx.durable, ctx.is_admin) == ("ann", "k", PARENT, False, False)
    assert of_request("hr.rpc.s.n.v", {"Hr-User": "admin"}).is_admin
    nobody = of_request("hr.rpc.s.n.v", None)
    assert (nobody.user, nobody.key) == ("", "")


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
