"""Who may do what to which thing: roles, the rules of a policy file, the scope of a token; and every way in asks."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from services.gateway.http.application import Application
from services.gateway.routes import DOMAINS, ROUTES
from shared.contracts.endpoints import ENDPOINTS
from shared.contracts.errors import Forbidden, Unavailable
from shared.contracts.ids import uuid7
from shared.contracts.permissions import COMPUTE_READ, COMPUTE_WRITE, ROLES
from shared.service.context import Context
from shared.service.middleware.permission import permission, resource_of
from shared.service.policy import Decision, FilePolicy, Policy, Resource, parse, require
from tests.support.wire import example

GUESTS = """
[[rule]]
subject = "group:guests"
action = "session.*"
allow = false

[[rule]]
subject = "user:ada"
action = "partition.update"
resource = "partition/gpu*"
allow = true

[[rule]]
subject = "role:reader"
action = "*.delete"
allow = true

[[rule]]
subject = "user:*"
action = "dataset.get"
resource = "dataset/secret/*"
allow = false
"""
ADA, ADMIN = Context("ada", roles=("user",)), Context("admin", groups=("guests",), roles=("admin",))
GUEST, READER = Context("gus", groups=("guests", "staff"), roles=("user",)), Context("rita", roles=("reader",))
LIMITED = Context("ada", roles=("user",), scope=("compute:read",))

CASES: list[tuple[Context, str, str, str, bool]] = [
    (ADA, "session.create", COMPUTE_WRITE, "", True),
    (GUEST, "session.create", COMPUTE_WRITE, "", False),
    (GUEST, "session.get", COMPUTE_READ, "session/1", False),
    (GUEST, "sessions.get", COMPUTE_READ, "", True),
    (GUEST, "task.list", COMPUTE_READ, "session/1", True),
    (ADMIN, "session.create", COMPUTE_WRITE, "", True),
    (ADA, "partition.update", "ops", "partition/gpu-2", True),
    (ADA, "partition.update", "ops", "partition/cpu", False),
    (ADA, "partition.update", "ops", "", False),
    (ADA, "partition.delete", "ops", "partition/gpu-2", False),
    (READER, "session.delete", COMPUTE_WRITE, "session/1", True),
    (READER, "session.create", COMPUTE_WRITE, "", False),
    (ADA, "dataset.get", "data:read", "dataset/secret/1", False),
    (ADA, "dataset.get", "data:read", "dataset/public/1", True),
    (LIMITED, "session.get", COMPUTE_READ, "session/1", True),
    (LIMITED, "session.create", COMPUTE_WRITE, "", False),
    (LIMITED, "partition.update", "ops", "partition/gpu-2", False),
    (Context("", roles=("worker",)), "task.confirm", "work", "", True),
    (Context("", roles=("worker",)), "dataset.get", "data:read", "dataset/secret/1", False),
    (Context("eve", roles=("king",)), "session.get", COMPUTE_READ, "", False),
    (Context("eve"), "session.get", COMPUTE_READ, "", False),
]


@pytest.mark.parametrize(("context", "action", "needs", "thing", "allowed"), CASES, ids=range(len(CASES)))
async def test_a_policy(context: Context, action: str, needs: str, thing: str, allowed: bool) -> None:
    decision = await Policy(parse(GUESTS)).check(context, action, needs, lambda: thing)
    assert decision.allowed is allowed, decision.reason
    assert decision.reason


@pytest.mark.parametrize("role", ROLES)
async def test_without_a_file_the_roles_alone_decide(role: str) -> None:
    context = Context("ann", roles=(role,))
    for needs in {one for known in ROLES.values() for one in known}:
        decision = await Policy().check(context, "thing.do", needs, lambda: "")
        assert decision.allowed is (needs in ROLES[role])


WRONG = [
    'rule = "x"',
    '[[rule]]\nsubject = "ada"\naction = "*"\nallow = true',
    '[[rule]]\nsubject = "user:ada"\naction = "*"',
    '[[rule]]\nsubject = "user:ada"\naction = "*"\nallow = "yes"',
    '[[rule]]\nsubject = "user:ada"\naction = "Session Create"\nallow = true',
    '[[rule]]\nsubject = "user:"\naction = "*"\nallow = true',
    '[[rules]]\nsubject = "user:ada"\naction = "*"\nallow = true',
    "[[rule",
]


@pytest.mark.parametrize("text", WRONG, ids=range(len(WRONG)))
def test_a_policy_that_is_wrong_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse(text)
    (file := tmp_path / "policy.toml").write_text(text)
    with pytest.raises(SystemExit, match="HEADRACE_POLICY_FILE"):
        FilePolicy(file)


async def test_a_changed_file_counts_and_a_wrong_or_missing_one_changes_nothing(tmp_path: Path) -> None:
    (file := tmp_path / "policy.toml").write_text("")
    policy, stamps = FilePolicy(file), iter(range(1, 100))

    async def write(text: str) -> int:
        file.write_text(text)
        os.utime(file, ns=(next(stamps),) * 2)
        return await policy.refresh()

    async def allowed() -> bool:
        return (await policy.check(GUEST, "session.create", COMPUTE_WRITE, lambda: "")).allowed

    assert await allowed()
    assert await write(GUESTS) == 1
    assert not await allowed()
    assert await policy.refresh() == 0
    assert await write("[[rule") == 0
    assert not await allowed()
    file.unlink()
    assert await policy.refresh() == 0
    assert not await allowed()
    assert await write("") == 1
    assert await allowed()


# -- every way in asks


class Recording:
    """Answers as it is set, and keeps what it was asked."""

    def __init__(self, answer: Decision | Exception) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str, str]] = []

    async def check(self, context: Context, action: str, needs: str, resource: Resource) -> Decision:
        self.asked.append((action, needs, resource()))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


NO, AWAY, BROKEN = Decision(False, "no"), Unavailable("away"), RuntimeError("a bug")
NEEDING = [endpoint for endpoint in ENDPOINTS if endpoint.needs is not None]


@pytest.mark.parametrize("endpoint", NEEDING, ids=lambda one: one.name)
async def test_no_handler_of_any_service_runs_before_it_was_allowed(endpoint: Any) -> None:
    ran: list[bytes] = []

    async def handler(ctx: Context, data: bytes) -> bytes:
        ran.append(data)
        return b""

    body = b"" if endpoint.request is bytes else msgspec.json.encode(example(endpoint.request))
    for answer, refusal in ((NO, Forbidden), (AWAY, Unavailable)):
        asked = Recording(answer)
        with pytest.raises(refusal):
            await permission(endpoint, lambda asked=asked: asked)(handler)(ADMIN, body)
        assert [one[:2] for one in asked.asked] == [(f"{endpoint.noun}.{endpoint.verb}", endpoint.needs)]
    assert not ran
    await permission(endpoint, lambda: Recording(Decision(True, "yes")))(handler)(ADMIN, body)
    assert ran == [body]


@pytest.mark.parametrize("answer", [NO, AWAY], ids=["no", "away"])
async def test_no_route_runs_before_it_was_allowed(answer: Decision | Exception) -> None:
    async def context(authorization: str, trace: str) -> Context:
        return ADMIN

    asked = Recording(answer)
    edge: Any = SimpleNamespace(
        auth=SimpleNamespace(context=context),
        rates=SimpleNamespace(take=lambda user: None),
        permissions=asked,
        audit=SimpleNamespace(check_room=lambda: None, record=lambda *entry: None),
    )
    application = Application(edge, DOMAINS)
    for route in ROUTES:
        if route.needs is None:
            continue
        statuses: list[int] = []

        async def send(message: Any, statuses: list[int] = statuses) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        path = route.path.format(**{name: str(uuid7()) for name in route.parameters})
        scope = {"type": "http", "method": route.method, "path": path, "raw_path": path.encode(), "headers": []}
        asked.asked.clear()
        await application(scope | {"query_string": b""}, None, send)  # type: ignore[arg-type]
        assert statuses == [403 if answer is NO else 503], path
        assert [one[:2] for one in asked.asked] == [(route.action, route.needs)]
        assert bool(asked.asked[0][2]) == bool(route.parameters)


def test_every_route_and_every_endpoint_states_what_it_is() -> None:
    named = {f"{one.noun}.{one.verb}" for one in ENDPOINTS}
    for route in ROUTES:
        assert route.needs is None or route.action, route.path
        if route.asks:
            assert route.action in named
    open_to_all = {one.name for one in ENDPOINTS if one.needs is None}
    assert {name.partition(".")[2] for name in open_to_all} <= {"health.check", "offer.request"}, "no user's to ask"


@pytest.mark.parametrize(
    ("name", "body", "thing"),
    [
        ("scheduler.session.get", {"session": "s"}, "session/s"),
        ("scheduler.task.list", {"session": "s", "size": 5}, "session/s"),
        ("scheduler.partition.update", {"name": "gpu"}, "partition/gpu"),
        ("archiver.dataset.get", {"pid": "20.500/1"}, "dataset/20.500/1"),
        ("scheduler.session.create", {"name": "mine"}, ""),
        ("scheduler.session.list", {}, ""),
        ("scheduler.session.get", ["s"], ""),
        ("scheduler.session.get", {"session": 7}, ""),
    ],
)
def test_what_a_request_is_about(name: str, body: Any, thing: str) -> None:
    (endpoint,) = (one for one in ENDPOINTS if one.name == name)
    assert resource_of(endpoint, msgspec.json.encode(body)) == thing
    assert resource_of(endpoint, b"{") == ""


async def test_an_outage_is_never_a_yes() -> None:
    for answer in (AWAY, BROKEN):
        with pytest.raises(Unavailable):
            await require(Recording(answer), ADMIN, "session.get", COMPUTE_READ, lambda: "")
