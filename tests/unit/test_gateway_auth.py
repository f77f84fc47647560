"""Who may do what, and for how long a token is believed."""

import asyncio
from datetime import UTC, datetime

import pytest

from services.gateway.identity import auth
from services.gateway.identity.auth import Auth, Identity, bearer, digest
from services.gateway.routes import ROUTES
from shared.contracts.errors import Forbidden, Unauthenticated, Unavailable
from shared.contracts.permissions import (
    COMPUTE_READ,
    COMPUTE_WRITE,
    DATA_WRITE,
    EXECUTION_READ,
    EXECUTION_WRITE,
    IDENTITY,
    OPS,
    ROLES,
    allows,
)
from shared.service.policy import NO_THING, Policy, require
from tests.support.wait import LIMIT, wait_until

ADA = Identity("ada", ("user",))


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds


class Tokens:
    """A store in memory. `away`: the database does not answer."""

    def __init__(self, **known: Identity) -> None:
        self.known = {digest(token): identity for token, identity in known.items()}
        self.asked = 0
        self.away = False

    async def find(self, key: bytes) -> Identity | None:
        self.asked += 1
        if self.away:
            raise Unavailable
        return self.known.get(key)


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic abc", "Bearer " + "x" * 9000])
def test_what_is_no_bearer_token(header: str | None) -> None:
    with pytest.raises(Unauthenticated):
        bearer(header)


def test_the_scheme_is_read_in_any_case() -> None:
    assert bearer("bearer  abc ") == "abc"


@pytest.mark.parametrize(
    ("role", "may", "may_not"),
    [("admin", {COMPUTE_READ, COMPUTE_WRITE, EXECUTION_READ, EXECUTION_WRITE, OPS}, set()),
     ("user", {COMPUTE_READ, COMPUTE_WRITE, EXECUTION_READ, EXECUTION_WRITE}, {OPS}),
     ("reader", {COMPUTE_READ, EXECUTION_READ}, {COMPUTE_WRITE, EXECUTION_WRITE, OPS}),
     ("operator", {COMPUTE_READ, EXECUTION_READ, OPS}, {COMPUTE_WRITE, EXECUTION_WRITE}),
     ("unheard-of", set(), {COMPUTE_READ, COMPUTE_WRITE, EXECUTION_READ, EXECUTION_WRITE, OPS})],
)  # fmt: skip
def test_roles(role: str, may: set[str], may_not: set[str]) -> None:
    assert all(allows((role,), permission) for permission in may)
    assert not any(allows((role,), permission) for permission in may_not)


def test_every_route_needs_something_but_the_probes_and_the_page() -> None:
    open_to_all = {route.path for route in ROUTES if route.needs is None}
    assert open_to_all == {"/health/live", "/health/ready", "/", "/ops/v1/login"}
    known = {permission for permissions in ROLES.values() for permission in permissions}
    assert {route.needs for route in ROUTES} - {None} <= known


def test_routes_that_change_something_do_not_go_with_reading() -> None:
    changing = {COMPUTE_WRITE, DATA_WRITE, EXECUTION_WRITE, OPS, IDENTITY}
    asking = {"/compute/v1/results/wait", "/compute/v1/tasks/outputs"}  # a thousand ids are a body, and change nothing
    asking.add("/ops/v1/login")
    assert all(route.needs in changing for route in ROUTES if route.method != "GET" and route.path not in asking)


async def test_a_token_is_believed_for_a_while_only() -> None:
    store, clock = Tokens(t=ADA), Clock()
    gate = Auth(store, clock)
    for _ in range(3):
        assert await gate.identify("Bearer t") == ADA
    assert store.asked == 1
    store.known.clear()
    clock.seconds += auth.FRESH
    with pytest.raises(Unauthenticated):
        await gate.identify("Bearer t")


async def test_revoked_here_counts_at_once() -> None:
    store = Tokens(t=ADA)
    gate = Auth(store, Clock())
    await gate.identify("Bearer t")
    store.known.clear()
    gate.forget()
    with pytest.raises(Unauthenticated):
        await gate.identify("Bearer t")


async def test_without_a_database_known_tokens_go_on_for_a_while() -> None:
    store, clock = Tokens(t=ADA), Clock()
    gate = Auth(store, clock)
    await gate.identify("Bearer t")
    store.away = True
    clock.seconds += auth.STALE - 1
    assert await gate.identify("Bearer t") == ADA
    with pytest.raises(Unavailable):
        await gate.identify("Bearer other")
    clock.seconds += 1
    with pytest.raises(Unavailable):
        await gate.identify("Bearer t")


async def test_permission_denied() -> None:
    caller = await Auth(Tokens(t=ADA), Clock()).context("Bearer t")
    assert (caller.user, caller.roles, caller.via, caller.is_admin) == ("ada", ("user",), "http", False)
    await require(Policy(), caller, "session.create", COMPUTE_WRITE, lambda: NO_THING)
    with pytest.raises(Forbidden, match="'ops'"):
        await require(Policy(), caller, "user.create", OPS, lambda: NO_THING)


async def test_who_waits_for_a_revocation_learns_of_it_at_once() -> None:
    store = Tokens(t=ADA, u=ADA)
    gate = Auth(store, Clock())
    ended, other = (asyncio.create_task(gate.until_revoked(f"Bearer {token}")) for token in "tu")
    await asyncio.sleep(0)
    del store.known[digest("t")]
    gate.forget()
    await asyncio.wait_for(ended, LIMIT)
    assert not other.done()
    other.cancel()


async def test_a_revocation_elsewhere_is_seen_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "FRESH", 0.01)
    store = Tokens(t=ADA)
    ended = asyncio.create_task(Auth(store, Clock()).until_revoked("Bearer t"))
    store.away = True
    await wait_until(lambda: store.asked > 2)
    assert not ended.done(), "nobody can have revoked it while the database is away"
    store.away = False
    store.known.clear()
    await asyncio.wait_for(ended, LIMIT)
