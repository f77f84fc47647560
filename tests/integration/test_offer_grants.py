"""What the gateway gives a site for an accepted offer, and gives to nobody else; over the HTTP edge, on real servers."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import msgspec
import pytest

from services.broker.app import main
from services.broker.settings import Settings
from shared.contracts import headers as h
from shared.contracts import subjects
from shared.contracts.asks import AT_OFFER
from shared.contracts.delegation import Delegation
from shared.contracts.endpoints.sites import SITE_GRANT
from shared.contracts.errors import Invalid, NotFound, Unauthenticated
from shared.contracts.execution import Offer, OfferRef
from shared.contracts.ids import uuid7
from shared.objects.settings import ObjectsSettings
from shared.runtime.startup import StartFailed
from shared.service.ask import ask
from shared.service.bootstrap import ServiceSettings
from tests.support.buckets import Bucket
from tests.support.bus_rig import connected
from tests.support.databases import Database
from tests.support.offers_rig import PID, Sites, open_sites, request, see, set_phase, wanted
from tests.support.servers import Servers
from tests.support.speaking import signer, speaking
from tests.support.wait import wait_until


@pytest.fixture
async def sites(nats: Servers, database: Database, s3: Bucket, tmp_path: Path) -> AsyncIterator[Sites]:
    async with open_sites(nats, database, s3, tmp_path) as made:
        yield made


@pytest.fixture
async def ann(sites: Sites) -> AsyncIterator[httpx.AsyncClient]:
    async with await sites.gateway.user("ann") as http:
        yield http


async def test_a_site_acts_for_the_owner_of_an_accepted_offer_alone(
    sites: Sites, ann: httpx.AsyncClient, nats: Servers
) -> None:
    """The gateway gives the site a delegation for that offer when it is accepted, and gives no other site one."""
    await sites.start("site-a", site_storages="lts-a")
    await sites.start("site-b")
    a, b = (await request(ann, wanted(PID)))["offers"]
    chosen, other = UUID(a["meta"]["uuid"]), UUID(b["meta"]["uuid"])
    async with connected(nats, "broker", site="site-a") as site_a, connected(nats, "broker", site="site-b") as site_b:
        for bus, offer in ((site_a, chosen), (site_b, chosen), (site_b, other)):
            with pytest.raises(NotFound):  # nothing is accepted yet
                await ask(bus, SITE_GRANT, OfferRef(offer))
        assert (await set_phase(ann, a, "ACCEPTED")).status_code == 200
        granted = site_a.delegations.read((await ask(site_a, SITE_GRANT, OfferRef(chosen))).delegation)
        assert (granted.by, granted.user, granted.roles) == ("gateway", "ann", ("user",))
        assert (granted.site, granted.offer) == ("site-a", chosen)
        assert granted.operations == tuple(one.subject for one in AT_OFFER)
        for bus, offer in ((site_b, chosen), (site_b, other), (site_a, other), (site_a, uuid7())):
            with pytest.raises(NotFound) as refused:
                await ask(bus, SITE_GRANT, OfferRef(offer))
            assert refused.value.message == f"there is no offer {offer}"
    ctx, _ = sites.scheduler.asked("session.create")[0]
    assert (ctx.user, ctx.via, ctx.site, ctx.offer, ctx.is_admin) == ("ann", "gateway", "site-a", chosen, False)
    located = [(ctx.user, ctx.via) for ctx in sites.locating]
    assert located == [("ann", "gateway")] * 2, "each site asks with what the gateway gave it"


async def test_an_owner_who_is_disabled_gets_nothing_new_from_a_site(
    sites: Sites, ann: httpx.AsyncClient, nats: Servers
) -> None:
    await sites.start("site-a")
    offer = (await request(ann, wanted()))["offers"][0]
    assert (await set_phase(ann, offer, "ACCEPTED")).status_code == 200
    disabled = await sites.gateway.http.patch("/ops/v1/users/ann", json={"disabled": True})
    assert disabled.status_code == 200, disabled.text
    async with connected(nats, "broker", site="site-a") as bus:
        granted = bus.delegations.read((await ask(bus, SITE_GRANT, OfferRef(UUID(offer["meta"]["uuid"])))).delegation)
    assert granted.operations == ("hr.rpc.scheduler.session.get", "hr.rpc.scheduler.session.close")


async def test_a_grant_is_renewed_while_the_offer_holds_something(
    sites: Sites, ann: httpx.AsyncClient, database: Database
) -> None:
    await sites.start("site-a")
    offer = (await request(ann, wanted()))["offers"][0]
    assert (await set_phase(ann, offer, "ACCEPTED")).status_code == 200
    admin = await asyncpg.connect(database.admin_url)
    try:
        due = "UPDATE broker.offers SET delegation_ends = now() + interval '10 minutes', delegation = 'old'"
        await admin.execute(due)

        async def renewed() -> bool:
            query = "SELECT delegation <> 'old' AND delegation_ends > now() + interval '50 minutes' FROM broker.offers"
            return bool(await admin.fetchval(query))

        await wait_until(renewed)
    finally:
        await admin.close()
    assert (await see(ann, offer))["phase"] == "RUNNING"


async def test_an_offer_is_accepted_with_its_own_grant_alone(
    sites: Sites, ann: httpx.AsyncClient, nats: Servers
) -> None:
    await sites.start("site-a")
    offer = UUID((await request(ann, wanted()))["offers"][0]["meta"]["uuid"])
    right = Delegation("gateway", "ann", (), int(time.time()) + 60, site="site-a", offer=offer)
    others: tuple[dict[str, Any], ...] = ({"offer": uuid7()}, {"offer": None}, {"site": "site-b"}, {"user": "bob"})
    wrong = [signer(nats.keys).sign(msgspec.structs.replace(right, **changed)) for changed in others]
    subject = subjects.broker("site-a", "accept")
    for signed in (*wrong, "", "x.y"):
        headers = speaking(nats.keys, "ann", subject) | {h.GRANT: signed}
        with pytest.raises((Invalid, Unauthenticated)):
            await sites.bus.request(subject, OfferRef(offer), Offer, headers=headers)
    assert sites.scheduler.asked("session.create") == []
    assert (await see(ann, {"meta": {"uuid": offer}}))["phase"] == "OFFERED"


async def test_what_an_http_request_says_of_who_asks_is_worth_nothing(sites: Sites, ann: httpx.AsyncClient) -> None:
    await sites.start("site-a")
    forged = speaking(sites.gateway.servers.keys, "admin", subjects.OFFER_REQUEST)[h.DELEGATION]
    ann.headers.update(
        {
            "Hr-User": "admin",
            "Hr-Roles": "admin",
            "Hr-Groups": "staff",
            h.DELEGATION: forged,
            h.GRANT: forged,
        }
    )
    offer = (await request(ann, wanted(PID)))["offers"][0]
    assert (await set_phase(ann, offer, "ACCEPTED")).json()["owner"] == "ann"
    seen = [ctx for ctx, _ in sites.scheduler.asked("session.create")] + sites.locating
    assert {(ctx.user, ctx.roles, ctx.groups) for ctx in seen} == {("ann", ("user",), ())}


async def test_a_broker_with_another_sites_key_does_not_start(nats: Servers, database: Database, s3: Bucket) -> None:
    base = ServiceSettings(**nats.bus("broker", "site-a"), database_url=database.url("broker"))
    wrong = Settings(service=base, objects=ObjectsSettings(**msgspec.structs.asdict(s3)), site="site-b")
    with pytest.raises(StartFailed, match=r"is the key of broker\.site-a, not of broker\.site-b"):
        await main(wrong, asyncio.Event())
