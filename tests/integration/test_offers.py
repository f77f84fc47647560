"""Offers of two sites, over the HTTP edge, on real servers."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest

from shared.contracts import subjects
from shared.contracts.compute import Counts
from shared.contracts.endpoints.execution import OFFER_REQUEST
from shared.contracts.errors import Invalid, Unavailable
from shared.contracts.execution import (
    KINDS,
    Between,
    Compute,
    ExecutionRequest,
    OfferReply,
    OfferRequest,
)
from shared.contracts.ids import uuid7
from shared.service.context import Context
from shared.service.service import Service
from tests.support.buckets import Bucket
from tests.support.bus_rig import connected
from tests.support.databases import Database
from tests.support.offers_rig import PID, Document, Sites, open_sites, request, see, set_phase, until, wanted
from tests.support.servers import Servers
from tests.support.speaking import speaking
from tests.support.wait import wait_until

SOON = 0.3
"""Seconds after which an offer of a test has expired."""
ROOT = "/execution/v1"
BAD: list[tuple[str, Any, str]] = [
    ("requests", {"compute": {"cores": {"min": 0}}}, "compute.cores.min"),
    ("requests", {"compute": {"cores": {"min": 2, "max": 1}}}, "compute.cores"),
    ("requests", {"compute": {"gpus": 1}}, "compute.gpus"),
    ("requests", {"storage": []}, "storage"),
    ("requests", {"data": [{"pid": PID}]}, "data[0].kind"),
    ("requests", {"data": [{"kind": "urn:headrace:kind:dataset", "pid": "../etc"}]}, "data[0].pid"),
    ("requests", {"executable": {"kind": f"{KINDS}executable/docker-container.yaml"}}, "executable.kind"),
    ("requests", {"executable": {"kind": "urn:headrace:kind:function", "function": "a b"}}, "executable.function"),
    ("requests", {"schedule": {"requested": {"duration": "2h"}}}, "schedule.requested.duration"),
    ("requests", {"workstep": "x"}, "workstep"),
    ("requests", {"workstep": str(uuid4()), "compute": {"cores": {"min": 2}}}, "workstep"),
    ("worksteps", {"request": {"compute": {"memory": {"min": 3, "max": 2}}}}, "request.compute.memory"),
    ("worksteps", {"name": "x"}, "request"),
    (f"sessions/{uuid4()}", {"path": "/phase", "value": "RUNNING"}, "value"),
    (f"sessions/{uuid4()}", {"path": "/phase"}, "value"),
    ("sessions/nope", {"path": "/phase", "value": "ACCEPTED"}, "session"),
]


@pytest.fixture
async def sites(nats: Servers, database: Database, s3: Bucket, tmp_path: Path) -> AsyncIterator[Sites]:
    async with open_sites(nats, database, s3, tmp_path) as made:
        yield made


@pytest.fixture
async def ann(sites: Sites) -> AsyncIterator[httpx.AsyncClient]:
    async with await sites.gateway.user("ann") as http:
        yield http


async def both(sites: Sites, **settings: Any) -> None:
    await sites.start("site-a", site_storages="lts-a", **settings)
    await sites.start("site-b", **settings)


async def test_both_sites_answer_and_the_one_with_the_data_is_best(sites: Sites, ann: httpx.AsyncClient) -> None:
    await both(sites)
    made = await request(ann, wanted(PID))
    assert made["result"] == "YES"
    assert made["meta"]["messages"] == []
    a, b = made["offers"]
    assert (a["site"], a["phase"], a["owner"], a["cores"], a["prepare_seconds"]) == ("site-a", "OFFERED", "ann", 1, 0)
    assert a["reasons"] == ["holds all 1.9 MB of headrace/astropy", "2 of 2 cores free"]
    assert (b["site"], b["prepare_seconds"]) == ("site-b", 0.189)
    assert b["reasons"][0] == "would move 1.9 MB of headrace/astropy at 10 MB/s: 0.2 s"
    assert a["meta"]["options"][0]["values"] == ["ACCEPTED", "REJECTED", "CANCELLED"]
    stored = await ann.get(f"{ROOT}/offersets/{made['meta']['uuid']}")
    assert stored.json() == made
    assert await see(ann, a) == a
    await wait_until(lambda: sites.phases(b["meta"]["uuid"]) == ["OFFERED"])
    entered = [(ctx.user, ctx.site, ctx.roles, asked.name) for ctx, asked in sites.scheduler.asked("site.enter")]
    assert sorted(entered) == [("", site, ("site",), site) for site in ("site-a", "site-b")]


async def test_a_site_whose_workers_have_not_the_function_offers_nothing(sites: Sites, ann: httpx.AsyncClient) -> None:
    await both(sites)
    body = wanted() | {"executable": {"kind": "urn:headrace:kind:function", "function": "nobody_has_it"}}
    answer = await request(ann, body)
    assert (answer["result"], answer["offers"]) == ("NO", [])


async def test_accepting_makes_a_compute_session_and_gives_back_the_other(sites: Sites, ann: httpx.AsyncClient) -> None:
    await both(sites)
    body = wanted(PID) | {"executable": {"kind": "urn:headrace:kind:function", "function": "echo"}}
    a, b = (await request(ann, body))["offers"]
    taken = await set_phase(ann, a, "ACCEPTED")
    assert taken.status_code == 200, taken.text
    assert (taken.json()["phase"], taken.json()["partition"]) == ("RUNNING", "site-a")
    again = await set_phase(ann, a, "ACCEPTED")
    assert again.json() == taken.json()
    ctx, asked = sites.scheduler.asked("session.create")[0]
    assert (ctx.user, asked.partitions, asked.options.function) == ("ann", ["site-a"], "echo")
    assert len(sites.scheduler.sessions) == 1
    assert (await see(ann, b))["phase"] == "REJECTED"
    assert (await sites.free("site-a"), await sites.free("site-b")) == (1, 2)
    refused = await set_phase(ann, b, "ACCEPTED")
    assert refused.status_code == 409
    assert "REJECTED" in refused.json()["detail"]
    assert "ACCEPTED" in refused.json()["detail"]
    await wait_until(
        lambda: sites.phases(a["meta"]["uuid"]) == ["OFFERED", "ACCEPTED", "AVAILABLE", "RUNNING"],
        on_timeout=lambda: sites.received,
    )


async def test_a_session_that_is_closed_completes_the_offer_and_frees_its_cores(
    sites: Sites, ann: httpx.AsyncClient
) -> None:
    await both(sites)
    a = (await request(ann, wanted(PID)))["offers"][0]
    taken = (await set_phase(ann, a, "ACCEPTED")).json()
    session = sites.session_of(taken)
    busy = msgspec.structs.replace(session, status="closed", tasks=Counts(total=1, running=1))
    sites.scheduler.sessions[session.id] = busy
    await until(ann, a, "RELEASING")
    assert await sites.free("site-a") == 1
    sites.scheduler.sessions[session.id] = msgspec.structs.replace(busy, tasks=Counts(total=1, completed=1))
    await until(ann, a, "COMPLETED")
    assert await sites.free("site-a") == 2


async def test_cancelling_closes_the_compute_session(sites: Sites, ann: httpx.AsyncClient) -> None:
    await both(sites)
    a, b = (await request(ann, wanted(PID)))["offers"]
    await set_phase(ann, a, "ACCEPTED")
    for _ in range(2):
        gone = await set_phase(ann, a, "CANCELLED")
        assert (gone.status_code, gone.json()["phase"]) == (200, "CANCELLED")
    await wait_until(lambda: sites.scheduler.asked("session.close"))
    await wait_until(lambda: _all_free(sites))
    assert (await set_phase(ann, a, "ACCEPTED")).status_code == 409
    assert (await set_phase(ann, b, "CANCELLED")).status_code == 409, "it was rejected"


async def _all_free(sites: Sites) -> bool:
    return await sites.free("site-a") == 2


async def test_an_offer_that_has_expired_cannot_be_accepted(sites: Sites, ann: httpx.AsyncClient) -> None:
    await sites.start("site-a", offer_seconds=SOON)
    offer = (await request(ann, wanted(cores=2)))["offers"][0]
    await wait_until(lambda: _all_free(sites))
    refused = await set_phase(ann, offer, "ACCEPTED")
    assert refused.status_code == 409
    assert "is EXPIRED" in refused.json()["detail"]
    seen = await see(ann, offer)
    assert seen["phase"] == "EXPIRED"
    assert [one["message"] for one in seen["meta"]["messages"]] == ["nobody accepted it in time"]
    assert sites.scheduler.asked("session.create") == []
    await wait_until(lambda: sites.phases(offer["meta"]["uuid"]) == ["OFFERED", "EXPIRED"])


async def test_the_sweep_says_so_too(sites: Sites, ann: httpx.AsyncClient) -> None:
    await sites.start("site-a", offer_seconds=SOON)
    offer = (await request(ann, wanted()))["offers"][0]
    await wait_until(lambda: sites.phases(offer["meta"]["uuid"]) == ["OFFERED", "EXPIRED"])


async def test_no_site_is_ever_overbooked(sites: Sites, nats: Servers) -> None:
    """With two replicas of it, which share a queue group: one of them answers."""
    await sites.start("site-a", site_cores=7, site_memory_gib=100)
    await sites.start("site-a", replica="site-a-2", site_cores=7, site_memory_gib=100)
    compute = Compute(cores=Between(1, 2))

    async def ask() -> OfferReply:
        asked = OfferRequest(uuid7(), ExecutionRequest(compute=compute), 30)
        headers = speaking(nats.keys, "ann", subjects.OFFER_REQUEST)
        return await sites.bus.request(subjects.OFFER_REQUEST, asked, OfferReply, timeout=30, headers=headers)

    replies = await asyncio.gather(*(ask() for _ in range(50)))
    offers = [reply.offer for reply in replies if reply.offer is not None]
    assert sorted(offer.cores for offer in offers) == [1, 2, 2, 2]
    assert {reply.reason for reply in replies if reply.result == "NO"} == {"1 core requested, and 0 of 7 are free"}
    assert await sites.free("site-a") == 0


async def test_the_same_question_reserves_once(sites: Sites, nats: Servers) -> None:
    await sites.start("site-a")
    asked = OfferRequest(uuid7(), ExecutionRequest(), 5)
    headers = speaking(nats.keys, "ann", subjects.OFFER_REQUEST)
    replies = [await sites.bus.request(subjects.OFFER_REQUEST, asked, OfferReply, headers=headers) for _ in range(2)]
    assert replies[0] == replies[1]
    assert await sites.free("site-a") == 1


async def test_under_one_idempotency_key_it_is_one_question(sites: Sites, ann: httpx.AsyncClient) -> None:
    await both(sites)
    asked: Any = {"json": wanted(PID), "headers": {"Idempotency-Key": "once"}}
    first, again = [(await ann.post(f"{ROOT}/requests", **asked)).json() for _ in range(2)]
    assert first["meta"]["uuid"] == again["meta"]["uuid"]
    assert [one["meta"]["uuid"] for one in first["offers"]] == [one["meta"]["uuid"] for one in again["offers"]]
    assert len(first["offers"]) == 2


async def test_a_site_that_is_gone_holds_up_nobody(sites: Sites, ann: httpx.AsyncClient) -> None:
    await both(sites)
    await sites.kill("site-b")
    began = time.perf_counter()
    made = await request(ann, wanted(PID))
    assert [offer["site"] for offer in made["offers"]] == ["site-a"]
    assert time.perf_counter() - began < 1.5


async def test_a_site_that_is_silent_is_waited_for_until_the_deadline(
    sites: Sites, ann: httpx.AsyncClient, nats: Servers
) -> None:
    await sites.start("site-a")
    never = asyncio.Event()

    async def ponder(ctx: Context, asked: OfferRequest) -> OfferReply:
        await never.wait()
        raise AssertionError

    async with connected(nats, "broker") as bus:
        silent = Service(bus, None, "broker", "0.0.1", "stand-in")
        silent.metadata["site"] = "site-z"
        silent.on(OFFER_REQUEST, ponder, group="broker-site-z", seconds=3)
        await silent.start()
        began = time.perf_counter()
        made = await request(ann, wanted())
        took = time.perf_counter() - began
        never.set()
        await silent.stop()
    assert [offer["site"] for offer in made["offers"]] == ["site-a"]
    assert [one["message"] for one in made["meta"]["messages"]] == ["site-z: no answer within 2 s"]
    assert 1.9 < took < 3


@pytest.mark.parametrize(
    ("located", "reason"),
    [
        (None, f"there is no dataset {PID}"),
        (Unavailable("the database is away; try again"), f"where {PID} is cannot be looked up now"),
    ],
)
async def test_data_that_nobody_can_place(sites: Sites, ann: httpx.AsyncClient, located: Any, reason: str) -> None:
    await both(sites)
    sites.located = {PID: located} if located else {}
    made = await request(ann, wanted(PID))
    assert (made["result"], made["offers"]) == ("NO", [])
    assert [one["message"] for one in made["meta"]["messages"]] == [f"site-a: {reason}", f"site-b: {reason}"]
    assert (await ann.get(f"{ROOT}/offersets/{made['meta']['uuid']}")).json() == made


async def test_a_kill_between_accepting_and_the_compute_session(sites: Sites, ann: httpx.AsyncClient) -> None:
    await sites.start("site-a")
    offer = (await request(ann, wanted()))["offers"][0]
    held = sites.scheduler.holding["session.create"] = asyncio.Event()
    accepting = asyncio.create_task(set_phase(ann, offer, "ACCEPTED"))
    await wait_until(lambda: sites.scheduler.asked("session.create"))
    assert (await see(ann, offer))["phase"] == "ACCEPTED"
    await sites.kill("site-a")
    held.set()
    await sites.start("site-a")
    done = await until(ann, offer, "RUNNING")
    assert {ctx.key for ctx, _ in sites.scheduler.asked("session.create")} == {f"offer:{offer['meta']['uuid']}"}
    assert list(map(str, sites.scheduler.sessions)) == [done["session"]]
    assert (await set_phase(ann, offer, "ACCEPTED")).json() == done
    accepting.cancel()


async def test_the_next_accept_finishes_what_the_scheduler_could_not_do(sites: Sites, ann: httpx.AsyncClient) -> None:
    await sites.start("site-a")
    offer = (await request(ann, wanted()))["offers"][0]
    sites.scheduler.failing["session.create"] = Unavailable("away")
    assert (await set_phase(ann, offer, "ACCEPTED")).status_code == 503
    assert (await see(ann, offer))["phase"] == "ACCEPTED"
    sites.scheduler.failing.clear()
    taken = await set_phase(ann, offer, "ACCEPTED")
    assert (taken.status_code, taken.json()["phase"]) == (200, "RUNNING")


async def test_what_the_scheduler_refuses_for_good_fails(sites: Sites, ann: httpx.AsyncClient) -> None:
    await sites.start("site-a")
    offer = (await request(ann, wanted(cores=2)))["offers"][0]
    sites.scheduler.failing["session.create"] = Invalid("no such thing")
    taken = (await set_phase(ann, offer, "ACCEPTED")).json()
    assert taken["phase"] == "FAILED"
    assert [(one["level"], one["message"]) for one in taken["meta"]["messages"]] == [("ERROR", "no such thing")]
    assert await sites.free("site-a") == 2


async def test_to_others_an_offer_does_not_exist(sites: Sites, ann: httpx.AsyncClient) -> None:
    await sites.start("site-a")
    step = (await ann.post(f"{ROOT}/worksteps", json={"name": "w", "request": wanted()})).json()
    made = await request(ann, {"workstep": step["id"]})
    offer = made["offers"][0]
    assert made["workstep"] == step["id"]
    paths = [f"worksteps/{step['id']}", f"offersets/{made['meta']['uuid']}", f"sessions/{offer['meta']['uuid']}"]
    async with await sites.gateway.user("bob") as bob:
        for path in paths:
            assert (await bob.get(f"{ROOT}/{path}")).status_code == 404
        assert (await set_phase(bob, offer, "ACCEPTED")).status_code == 404
        assert (await bob.post(f"{ROOT}/requests", json={"workstep": step["id"]})).status_code == 404
        assert (await bob.get(f"{ROOT}/worksteps")).json()["items"] == []
    async with await sites.gateway.user("eve", "reader") as eve:
        assert (await set_phase(eve, offer, "ACCEPTED")).status_code == 403
    for path in paths:
        assert (await sites.gateway.http.get(f"{ROOT}/{path}")).status_code == 200, "the admin sees everybody's"
    assert (await see(ann, offer))["phase"] == "OFFERED"


async def test_worksteps_are_kept_and_paged(sites: Sites, ann: httpx.AsyncClient) -> None:
    body: Document = {"name": "one", "request": wanted(PID)}
    made = [(await ann.post(f"{ROOT}/worksteps", json=body)).json() for _ in range(3)]
    assert (await ann.get(f"{ROOT}/worksteps/{made[0]['id']}")).json() == made[0]
    first = (await ann.get(f"{ROOT}/worksteps?size=2")).json()
    rest = (await ann.get(f"{ROOT}/worksteps?size=2&token={first['next']}")).json()
    assert [*first["items"], *rest["items"]] == made[::-1]
    assert rest["next"] == ""
    assert (await ann.get(f"{ROOT}/worksteps?token=x")).json()["field"] == "token"


async def test_without_any_site(sites: Sites, ann: httpx.AsyncClient) -> None:
    made = await request(ann, wanted())
    assert [one["message"] for one in made["meta"]["messages"]] == ["no site's broker is there"]
    assert made["result"] == "NO"


async def test_what_is_wrong_is_named(sites: Sites, ann: httpx.AsyncClient) -> None:
    for path, body, field in BAD:
        answer = await ann.post(f"{ROOT}/{path}", json=body)
        received = answer.json()
        assert (answer.status_code, received.get("field")) == (400, field), (path, body, received)


async def test_events_of_an_offer_are_its_owners(sites: Sites, ann: httpx.AsyncClient) -> None:
    await sites.start("site-a")
    async with await sites.gateway.user("bob") as bob:
        for http in (ann, bob):
            made = await request(http, wanted())
            mine = made["offers"][0]["meta"]["uuid"]
            assert await _first_offer(http) == mine, "all of them are on the stream, and the first one is ann's"


async def _first_offer(http: httpx.AsyncClient) -> str:
    async with http.stream("GET", "/events?from=start") as stream:
        event = ""
        async for line in stream.aiter_lines():
            name, _, value = line.partition(": ")
            event = value if name == "event" else event
            if name == "data" and event == "offer.offered":
                return str(msgspec.json.decode(value)["offer"])
    raise AssertionError("the stream ended")


async def test_of_siblings_accepted_at_once_exactly_one_is(sites: Sites, ann: httpx.AsyncClient) -> None:
    await both(sites)
    offers = (await request(ann, wanted(PID)))["offers"]
    answers = await asyncio.gather(*(set_phase(ann, offer, "ACCEPTED") for offer in offers * 12))
    won = {n % 2 for n, answer in enumerate(answers) if answer.status_code == 200}
    assert len(won) == 1
    assert sorted(Counter(answer.status_code for answer in answers).items()) == [(200, 12), (409, 12)]
    assert len(sites.scheduler.sessions) == 1
    (chosen,) = won
    await until(ann, offers[1 - chosen], "REJECTED")


async def test_another_offer_may_be_accepted_once_the_chosen_one_came_to_nothing(
    sites: Sites, ann: httpx.AsyncClient
) -> None:
    await both(sites)
    a, b = (await request(ann, wanted(PID)))["offers"]
    assert (await set_phase(ann, a, "CANCELLED")).status_code == 200
    assert (await set_phase(ann, a, "ACCEPTED")).status_code == 409, "it is cancelled"
    taken = await set_phase(ann, b, "ACCEPTED")
    assert (taken.status_code, taken.json()["phase"]) == (200, "RUNNING")
