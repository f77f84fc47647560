"""Every user of the bus tries to speak for alice and for the admin, on everything that it may ask; and what a site may do for others."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import msgspec
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploy.nats.permissions import OF_FACILITY
from services.gateway.events.watch_endpoint import WatchEndpoint
from shared.bus.client import Bus
from shared.bus.delegations import Delegations
from shared.contracts import compute as c
from shared.contracts import headers as h
from shared.contracts.asks import ASKS, AT_OFFER
from shared.contracts.delegation import GRANTED, Delegation
from shared.contracts.endpoint import Endpoint, Query
from shared.contracts.endpoints import ENDPOINTS
from shared.contracts.endpoints import compute as e
from shared.contracts.endpoints.sites import SITE_ENTER, SITE_PARTITION
from shared.contracts.errors import Conflict, Forbidden, HeadraceError, NotFound, Unauthenticated
from shared.contracts.ids import uuid7
from shared.contracts.permissions import ROLES, WORKER
from shared.contracts.subjects import SERVICES
from shared.contracts.watch import WatchSession
from shared.service.ask import ask
from shared.service.context import Context
from shared.service.middleware.identity import headers_of
from shared.service.policy import Policy
from shared.service.service import Service
from tests.support.bus_rig import connected
from tests.support.compute_rig import Rig, open_rig
from tests.support.servers import Servers
from tests.support.speaking import signer

SITE = "site-a"
ASKERS = (*OF_FACILITY, "broker", "worker")
Headers = dict[str, str]


def asked_by(user: str) -> list[Endpoint[Any, Any]]:
    """All that the bus lets a user ask."""
    if user == "worker":
        return [one for one in ENDPOINTS if one.needs in ROLES[WORKER]]
    return list(ASKS[user].all)


@pytest.fixture
async def reached(nats: Servers) -> AsyncIterator[list[Context]]:
    """Every endpoint of every service, on the real bus; whoever gets as far as a handler."""
    found: list[Context] = []

    async def handle(ctx: Context, _: bytes) -> bytes:
        found.append(ctx)
        raise Conflict("reached")

    async with AsyncExitStack() as stack:
        for name in SERVICES:
            bus = await stack.enter_async_context(connected(nats, name) if name != "broker" else _broker(nats))
            service = Service(bus, None, name, "0.0.1", "stand-in")
            for one in ENDPOINTS:
                if one.service == name:
                    made = Query(name, one.noun, one.verb, bytes, object, one.needs, "", at=one.at)
                    service.on(made, handle, site=SITE)
            await service.start()
            await bus.nc.flush()
            await bus.nc.flush()
            stack.push_async_callback(service.stop)
        yield found


def _broker(nats: Servers) -> Any:
    return connected(nats, "broker", site=SITE)


def tricks(nats: Servers, user: str, asker: str, subject: str) -> dict[str, Headers]:
    """What might pass for `user`'s request."""
    gateway, now = signer(nats.keys), int(time.time())
    honest = Delegation("gateway", user, (subject,), now + 50, roles=("admin",) if user == "admin" else ("user",))
    issuer = "broker.site-a" if asker == "broker" else "gateway" if asker == "worker" else asker
    own = signer(nats.keys, issuer)
    replace = msgspec.structs.replace
    other = gateway.sign(replace(honest, user="bob"))
    swapped = f"{gateway.sign(honest).partition('.')[0]}.{other.partition('.')[2]}"
    made = {
        "forged": Delegations("gateway", Ed25519PrivateKey.generate().sign).sign(honest),
        "expired": gateway.sign(replace(honest, expires=now - 1)),
        "another operation's": gateway.sign(replace(honest, operations=("hr.rpc.scheduler.no.such", f"{subject}.x"))),
        "another user's, renamed": swapped,
        "nonsense": "alice",
    }
    if issuer != "gateway":
        made["its own, as the gateway"] = own.sign(honest)
        made["its own, as admin"] = own.sign(replace(honest, by=issuer, user="bob", roles=("admin",)))
        made["its own, for long"] = own.sign(replace(honest, by=issuer, expires=now + 86_400))
        made["its own, for a site"] = own.sign(replace(honest, by=issuer, site="site-b", offer=uuid7()))
    bare = {"bare": {"Hr-User": user}, "bare, with roles": {"Hr-User": user, "Hr-Roles": "admin", "Hr-Groups": "staff"}}
    return bare | {name: {h.DELEGATION: text} for name, text in made.items()}


async def outcome(bus: Bus, subject: str, headers: Headers) -> str:
    """`reached`, or the code of the refusal."""
    try:
        await bus.request(subject, b"{}", object, headers=headers, timeout=20)
    except HeadraceError as error:
        return error.message if isinstance(error, Conflict) else error.code
    raise AssertionError("nobody answers without an error here")


@pytest.mark.parametrize("asker", ASKERS)
async def test_nobody_speaks_for_others(nats: Servers, reached: list[Context], asker: str) -> None:
    async with _broker(nats) if asker == "broker" else connected(nats, asker, topology=False) as bus:
        tried = [
            (one, user, name, headers)
            for one in asked_by(asker)
            for user in ("alice", "admin")
            for name, headers in tricks(nats, user, asker, one.subject_at(SITE)).items()
        ]
        gate = asyncio.Semaphore(32)

        async def attempt(one: Endpoint[Any, Any], headers: Headers) -> str:
            async with gate:
                return await outcome(bus, one.subject_at(SITE), headers)

        found = await asyncio.gather(*(attempt(one, headers) for one, _, _, headers in tried))
        passed = [
            (one.name, user, name, code)
            for (one, user, name, _), code in zip(tried, found, strict=True)
            if code != "unauthenticated"
        ]
        assert passed == []
        assert reached == []


@pytest.mark.parametrize("asker", [name for name in OF_FACILITY if name != "scheduler"])
async def test_what_a_service_is_stated_to_ask_gets_there(nats: Servers, reached: list[Context], asker: str) -> None:
    ann = Context("ann", groups=("physics",), roles=("admin",) if asker == "gateway" else ("user",))
    async with connected(nats, asker, topology=False) as bus:
        for one in ASKS[asker].for_users:
            subject = one.subject_at(SITE)
            assert await outcome(bus, subject, headers_of(ann, bus.delegations, subject)) == "reached"
        assert {(ctx.user, ctx.groups, ctx.roles, ctx.via) for ctx in reached} == {
            ("ann", ann.groups, ann.roles, asker)
        }
        reached.clear()
        for one in ASKS[asker].for_itself:
            assert await outcome(bus, one.subject, headers_of(None, bus.delegations, one.subject)) == "reached"
        assert {(ctx.user, ctx.roles) for ctx in reached} <= {("", ())}


async def test_a_good_one_is_good_for_its_own_operation_alone(nats: Servers, reached: list[Context]) -> None:
    async with connected(nats, "retriever", topology=False) as bus:
        ann = Context("ann", roles=("user",))
        signed = headers_of(ann, bus.delegations, e.RESULT_GET.subject)
        assert await outcome(bus, e.RESULT_GET.subject, signed) == "reached"
        assert await outcome(bus, e.RESULT_COMPLETE.subject, signed) == "unauthenticated"
    assert len(reached) == 1


async def test_a_watch_is_the_subjects_users_whatever_its_headers_say(nats: Servers, reached: list[Context]) -> None:
    """alice asks the gateway on the bus, with a delegation of the admin's that is good in itself."""
    admin = Context("admin", roles=("admin",))
    async with connected(nats, "gateway", topology=False) as bus:
        watches = WatchEndpoint(bus, Policy())
        await watches.start()
        alice = await nats.connect("alice")
        forged = headers_of(admin, bus.delegations, e.SESSION_GET.subject)
        for headers in (forged, headers_of(admin, bus.delegations, "hr.watch.alice.session"), {"Hr-User": "admin"}):
            question = msgspec.json.encode(WatchSession(uuid7()))
            answer = await alice.request("hr.watch.alice.session", question, timeout=20, headers=headers)
            assert "Nats-Service-Error-Code" in (answer.headers or {})
        await alice.close()
        await watches.stop()
    assert {(ctx.user, ctx.roles, ctx.subject) for ctx in reached} == {("alice", ("user",), e.SESSION_GET.subject)}


# -- what a site may


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def rig(servers: Servers) -> AsyncIterator[Rig]:
    async with open_rig(servers) as made:
        yield made


@pytest.fixture
async def site(rig: Rig) -> AsyncIterator[Bus]:
    """The bus as the broker of site-a is on it, with the site's partition."""
    async with connected(rig.servers, "broker", site=SITE) as bus:
        await ask(bus, SITE_ENTER, c.PartitionRef(SITE))
        yield bus


def grant(rig: Rig, offer: UUID, user: str = "ann", **changed: Any) -> str:
    made = Delegation(
        "gateway",
        user,
        tuple(one.subject for one in AT_OFFER),
        int(time.time()) + GRANTED,
        ("user",),
        site=SITE,
        offer=offer,
    )
    return signer(rig.servers.keys).sign(msgspec.structs.replace(made, **changed))


async def test_a_site_makes_its_own_partition_and_no_other(site: Bus) -> None:
    assert (await ask(site, SITE_PARTITION, c.PartitionRef(SITE))).name == SITE
    assert (await ask(site, SITE_ENTER, c.PartitionRef(SITE))).name == SITE, "harmless when repeated"
    for one in (SITE_ENTER, SITE_PARTITION):
        for name in ("default", "site-b", "local"):
            with pytest.raises(Forbidden) as refused:
                await ask(site, one, c.PartitionRef(name))
            assert refused.value.field == "name"


async def test_with_the_grant_of_an_offer_a_site_has_the_session_of_that_offer_and_no_other(
    rig: Rig, site: Bus
) -> None:
    offer, mine = uuid7(), await rig.session()
    with_grant = grant(rig, offer)
    made = await ask(site, e.SESSION_CREATE, c.SessionCreate([SITE]), grant=with_grant)
    assert (made.id, made.owner, made.partitions) == (offer, "ann", [SITE])
    again = await ask(site, e.SESSION_CREATE, c.SessionCreate([SITE], name="another"), grant=with_grant)
    assert again == made, "one session an offer"
    assert (await ask(site, e.SESSION_GET, c.SessionGet(offer, counts=True), grant=with_grant)).tasks is not None
    unknown = uuid7()
    for session in (mine, unknown):
        for one, asked in ((e.SESSION_GET, c.SessionGet(session)), (e.SESSION_CLOSE, c.SessionRef(session))):
            with pytest.raises(NotFound) as refused:
                await ask(site, one, asked, grant=with_grant)  # type: ignore[arg-type]
            assert (refused.value.message, refused.value.field) == (f"there is no session {session}", "session")
    assert (await ask(site, e.SESSION_CLOSE, c.SessionRef(offer), grant=with_grant)).status == "closed"
    assert (await rig.ask("session.get", c.SessionGet(mine), c.Session)).status == "running"


@pytest.mark.parametrize("partitions", [["default"], [SITE, "default"], []], ids=["other", "more", "none"])
async def test_a_site_opens_sessions_in_its_own_partition_alone(rig: Rig, site: Bus, partitions: list[str]) -> None:
    with pytest.raises(Forbidden) as refused:
        await ask(site, e.SESSION_CREATE, c.SessionCreate(partitions), grant=grant(rig, uuid7()))
    assert refused.value.field == "partitions"


REPLAYED: dict[str, Callable[[Rig, UUID], str]] = {
    "ended": lambda rig, offer: grant(rig, offer, expires=int(time.time()) - 1),
    "of-less": lambda rig, offer: grant(rig, offer, operations=(e.SESSION_GET.subject,)),
    "signed-by-the-site": lambda rig, offer: signer(rig.servers.keys, "broker.site-a").sign(
        Delegation("broker.site-a", "ann", (e.SESSION_CREATE.subject,), int(time.time()) + 50, ("user",), site=SITE)
    ),
    "none": lambda rig, offer: "",
}


@pytest.mark.parametrize("case", REPLAYED)
async def test_without_a_good_grant_a_site_does_nothing_for_a_user(rig: Rig, site: Bus, case: str) -> None:
    text, subject = REPLAYED[case](rig, uuid7()), e.SESSION_CREATE.subject
    headers = {h.DELEGATION: text} if text else {}
    with pytest.raises((Unauthenticated, Forbidden)):
        await site.request(subject, c.SessionCreate([SITE]), c.Session, headers=headers)


async def test_another_users_session_of_the_same_id_is_not_given_away(rig: Rig, site: Bus) -> None:
    offer = uuid7()
    await ask(site, e.SESSION_CREATE, c.SessionCreate([SITE]), grant=grant(rig, offer))
    with pytest.raises(NotFound):
        await ask(site, e.SESSION_CREATE, c.SessionCreate([SITE]), grant=grant(rig, offer, user="bob"))
