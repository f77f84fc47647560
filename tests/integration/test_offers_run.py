"""Offers as `make run` has them: two sites as processes of their own, each with a pilot; the whole way of a batch workstep."""

import json

import httpx

from tests.support.offers_rig import request, set_phase, until
from tests.support.processes import Processes


async def test_work_runs_at_the_site_whose_offer_was_accepted(system: Processes) -> None:
    for site, storages in (("a", "lts-a"), ("b", "")):
        await system.start_broker(site, storages)
    for site in ("a", "b"):
        await system.start_worker(f"pilot-{site}-1", partition=f"site-{site}")
    await system.start("scheduler", "archiver", "retriever", "gateway", workers=0)
    headers = {"Authorization": f"Bearer {system.token}"}
    async with httpx.AsyncClient(base_url=system.http, headers=headers, trust_env=False, timeout=30) as http:
        asked = {"executable": {"kind": "urn:headrace:kind:function", "function": "echo"}}

        async def ready() -> bool:
            """Whether both sites have a pilot with the function: each offer that one of them makes holds cores."""
            found = (await http.get("/compute/v1/partitions")).json()["items"]
            return sum("echo" in one["functions"] for one in found if one["name"] in ("site-a", "site-b")) == 2

        await system.wait_until(ready, timeout=30)

        async def offered() -> dict[str, object] | None:
            made = await request(http, asked)
            return made if len(made["offers"]) == 2 else None

        made = await system.wait_until(offered, timeout=30)
        assert made is not None
        offers = made["offers"]
        assert isinstance(offers, list)
        assert {offer["site"] for offer in offers} == {"site-a", "site-b"}
        taken = (await set_phase(http, offers[1], "ACCEPTED")).json()
        session = f"/compute/v1/sessions/{taken['session']}"
        await http.post(f"{session}/submissions", json={"tasks": [{"payload": 7}]})

        async def done() -> bool:
            task = (await http.get(f"{session}/tasks")).json()["items"][0]
            return bool(task["status"] == "completed" and task["partition"] == offers[1]["site"])

        await system.wait_until(done, timeout=30)
        await http.post(f"{session}/close")
        await until(http, taken, "COMPLETED", timeout=20)
    client = await system.bus()
    try:
        inbox = client.new_inbox()
        pings = await client.subscribe(inbox)
        await client.publish("$SRV.PING.broker", reply=inbox)
        seen = {json.loads((await pings.next_msg(5)).data)["metadata"]["site"] for _ in range(2)}
        assert seen == {"site-a", "site-b"}
    finally:
        await client.close()
