"""Nobody makes an answer, or an acknowledgement, land on a subject that he may not publish; people come and go."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.errors import Error, NoRespondersError

from deploy.local import people
from deploy.local.home import Home, HomeError
from deploy.local.stack import Stack
from deploy.nats.permissions import asked_by
from services.gateway.events.watch_endpoint import WatchEndpoint
from shared.bus import topology
from shared.bus.client import Bus
from shared.contracts import subjects
from shared.contracts.endpoints.sites import SITE_ENTER
from shared.contracts.topology import STREAMS, TASKS, worker_consumer
from shared.service.policy import Policy
from tests.support.bus_rig import connected
from tests.support.servers import Servers, of_nats, settled
from tests.support.wait import LIMIT, wait_until

LEVERS = (
    "hr.cmd.admin.scheduler.session.create",
    "hr.cmd.alice.scheduler.session.create",
    "hr.task.default.5.0192",
    "hr.report.default",
    "hr.step.archiver.archival.move",
    "hr.at.archiver.0192",
    "hr.evt.session.closed.0192",
    "hr.dead.commands.admin",
    "hr.rpc.scheduler.session.close",
    "hr.broker.site-a.accept",
    "hr.offer.request",
    "hr.ctl.session.0192",
    "hr.ctl.worker.beat",
    "hr.beat.worker.w1",
    "hr.watch.admin.session",
    "_INBOX_admin.taken",
    "_INBOX_scheduler.taken",
    "_INBOX_worker.taken",
    "_R_.taken",
    "$JS.API.STREAM.PURGE.TASKS",
    "$JS.API.STREAM.DELETE.EVENTS",
    "$JS.ACK.COMMANDS.commands-scheduler.1.1.1.1.0",
    "$SRV.STATS",
)
"""Every kind of subject that means something."""
TAKEN = len([lever for lever in LEVERS if not lever.startswith(("_R_.", "$JS.ACK."))])
"""Those with which the server accepts a message at all."""


@pytest.fixture
async def scheduler(nats: Servers) -> AsyncIterator[Bus]:
    async with connected(nats, "scheduler") as bus:
        await topology.ensure_consumer(bus, TASKS.name, worker_consumer("default"))
        yield bus


class Listener:
    """The administrator, who hears everything that the services' account carries but what is asked there."""

    def __init__(self, client: Client, asked: tuple[str, ...]) -> None:
        self._client, self._asked = client, asked
        self.heard: list[str] = []

    async def start(self) -> None:
        async def hear(message: Any) -> None:
            if not message.subject.startswith(self._asked):
                self.heard.append(message.subject)

        for subject in LEVERS:
            await self._client.subscribe(subject, cb=hear)
        await settled(self._client)

    async def stored(self) -> dict[str, int]:
        jetstream = self._client.jetstream()
        return {stream.name: (await jetstream.stream_info(stream.name)).state.messages for stream in STREAMS}


async def test_a_persons_reply_subject_is_no_lever(nats: Servers, scheduler: Bus) -> None:
    """The gateway answered there with its own rights, and JetStream stored its acknowledgement there."""
    admin, alice = await nats.connect(), await nats.connect("alice")
    listener = Listener(admin, ("hr.cmd.alice.", "hr.watch.alice."))
    command, watch = subjects.command("alice", "scheduler", "session", "create"), subjects.watch("alice", "session")
    async with connected(nats, "gateway") as gateway:
        watchers = WatchEndpoint(gateway, Policy())
        await watchers.start()
        await listener.start()
        for lever in LEVERS:
            await alice.publish(command, b"{}", reply=lever)
            await alice.publish(watch, b"{}", reply=lever)
        # What was asked for afterwards is answered afterwards.
        refused = await alice.request(watch, b"{}", timeout=LIMIT)
        assert "Nats-Service-Error-Code" in (refused.headers or {}), "the answer finds its way to the own inbox"
        acknowledged = json.loads((await alice.request(command, b"{}", timeout=LIMIT)).data)
        assert acknowledged == {"stream": "COMMANDS", "seq": TAKEN + 1}
        await watchers.stop()
    await settled(admin)
    assert listener.heard == []
    assert await listener.stored() == {stream.name: 0 for stream in STREAMS} | {"COMMANDS": TAKEN + 1}
    await alice.close()
    await admin.close()


async def test_a_workers_reply_subject_is_no_lever(nats: Servers, scheduler: Bus) -> None:
    """Not by what it asks, not by the acknowledgement of a report, not by the tasks that it pulls."""
    admin, worker = await nats.connect(), await nats.connect("worker")
    report, beat = subjects.report("default"), subjects.beat("w1")
    confirm = subjects.rpc("scheduler", "task", "confirm")
    pull, info = "$JS.API.CONSUMER.MSG.NEXT.TASKS.workers-default", "$JS.API.CONSUMER.INFO.TASKS.workers-default"
    dead = subjects.dead("TASKS", subjects.WORKER)
    listener = Listener(admin, (report, beat))

    async def answer(message: Any) -> None:
        await scheduler.nc.publish(message.reply, b"{}")

    for subject in (confirm, beat):
        await scheduler.nc.subscribe(subject, cb=answer)
    await settled(scheduler.nc)
    await listener.start()
    for lever in LEVERS:
        for subject in (report, beat, confirm, info, dead):
            await worker.publish(subject, b"{}", reply=lever)
        await worker.publish(pull, b'{"batch": 1, "no_wait": true}', reply=lever)
    for subject in (beat, confirm, info, dead, report):
        assert (await worker.request(subject, b"{}", timeout=LIMIT)).data
    await settled(admin)
    assert listener.heard == []
    expected = {stream.name: 0 for stream in STREAMS} | {"REPORTS": TAKEN + 1, "DEAD": TAKEN + 1}
    assert await listener.stored() == expected
    await worker.close()
    await admin.close()


async def test_a_sites_reply_subject_is_no_lever(nats: Servers, scheduler: Bus) -> None:
    """Not by what it asks, not by the acknowledgement of an event: a site-run broker is not the facility."""
    admin, site = await nats.connect(), await nats.connect("broker-site-a")
    enter, event = SITE_ENTER.subject, subjects.event("offer", "offered", "0192")
    listener = Listener(admin, ("hr.evt.offer.", *asked_by("broker")))  # what it may ask anyway

    async def answer(message: Any) -> None:
        await scheduler.nc.publish(message.reply, b"{}")

    await scheduler.nc.subscribe(enter, cb=answer)
    await settled(scheduler.nc)
    await listener.start()
    for lever in LEVERS:
        await site.publish(enter, b"{}", reply=lever)
        await site.publish(event, b"{}", reply=lever)
    assert (await site.request(enter, b"{}", timeout=LIMIT)).data == b"{}"
    stored = json.loads((await site.request(event, b"{}", timeout=LIMIT)).data)
    assert stored == {"stream": "EVENTS", "seq": TAKEN + 1}
    await settled(admin)
    assert listener.heard == []
    assert await listener.stored() == {stream.name: 0 for stream in STREAMS} | {"EVENTS": TAKEN + 1}
    await site.close()
    await admin.close()


async def test_a_site_reaches_no_stream_and_no_other_site(nats: Servers, scheduler: Bus) -> None:
    problems: list[str] = []

    async def note(error: Exception) -> None:
        problems.append(str(error).lower())

    site = await nats.connect("broker-site-a", error_cb=note)
    published = (
        *("$JS.API.STREAM.UPDATE.TASKS", "$JS.API.STREAM.CREATE.EVENTS", "$JS.API.STREAM.PURGE.TASKS", "$JS.API.INFO"),
        *("$JS.API.CONSUMER.CREATE.EVENTS.x.hr.evt.>", "$JS.API.CONSUMER.MSG.NEXT.COMMANDS.commands-scheduler"),
        *("hr.rpc.scheduler.session.delete", "hr.rpc.scheduler.partition.create", "hr.rpc.scheduler.result.value"),
        *("hr.broker.site-b.accept", "hr.evt.session.closed.0192", "hr.cmd.alice.scheduler.session.create"),
        *(
            "hr.report.site-a",
            "hr.task.site-a.5.0192",
            "_INBOX_scheduler.x",
            "_INBOX_broker-site-b.x",
            "hr.dead.commands.x",
        ),
    )
    heard = (
        "hr.evt.>",
        "hr.broker.site-b.*",
        "hr.rpc.scheduler.>",
        "hr.cmd.>",
        "_INBOX_gateway.>",
        "hr.task.>",
        "hr.ctl.>",
        ">",
    )
    for subject in published:
        await site.publish(subject, b"{}")
    for subject in heard:
        await site.subscribe(subject)
    await settled(site)
    await wait_until(lambda: len(problems) == len(published) + len(heard), on_timeout=lambda: problems)
    assert all("permissions violation" in problem for problem in problems)
    await site.close()


async def test_traces_of_messages_go_nowhere_else(nats: Servers, scheduler: Bus) -> None:
    """NATS's own message tracing publishes where a header says."""
    admin, alice = await nats.connect(), await nats.connect("alice")
    listener = Listener(admin, ("hr.cmd.alice.",))
    await listener.start()
    command = subjects.command("alice", "scheduler", "session", "create")
    for lever in LEVERS:
        await alice.publish(command, b"{}", headers={"Nats-Trace-Dest": lever})
    await alice.request(command, b"{}", timeout=LIMIT)
    await settled(admin)
    assert listener.heard == []
    assert (await listener.stored())["EVENTS"] == 0
    await alice.close()
    await admin.close()


async def test_a_person_reaches_nothing_of_the_system(nats: Servers, scheduler: Bus) -> None:
    problems: list[str] = []

    async def note(error: Exception) -> None:
        problems.append(str(error).lower())

    alice = await nats.connect("alice", error_cb=note)
    for subject in (
        "$JS.API.INFO",
        "$JS.API.STREAM.NAMES",
        "$SRV.PING",
        "$SYS.REQ.SERVER.PING",
        "_INBOX_alice.x",
        "hr.evt.a.b.c",
    ):
        await alice.publish(subject, b"{}")
    for subject in ("_INBOX_scheduler.>", "_R_.>", "$SRV.>", "hr.evt.>", "hr.cmd.alice.>", "$SYS.>", ">"):
        await alice.subscribe(subject)
    await settled(alice)
    await wait_until(lambda: len(problems) == 13, on_timeout=lambda: problems)
    assert all("permissions violation" in problem for problem in problems)
    # What nobody serves is refused at once, and stored nowhere.
    for service in ("gateway", "broker", "nobody"):
        with pytest.raises(NoRespondersError):
            await alice.request(subjects.command("alice", service, "x", "y"), b"{}", timeout=LIMIT)
    await alice.close()


async def test_people_come_and_go_while_the_server_runs(home: Path) -> None:
    async with Stack(home, start=("nats",), throwaway=True) as stack:
        other = Home(home)
        before = of_nats(stack)
        async with connected(before, "gateway") as bus:
            alice, worker = await before.connect("alice"), await before.connect("worker")
            held: asyncio.Queue[Any] = asyncio.Queue()
            await bus.nc.subscribe(subjects.watch("*", "*"), cb=held.put)
            await settled(bus.nc)
            asked = asyncio.create_task(alice.request(subjects.watch("alice", "session"), b"{}", timeout=LIMIT))
            waiting = await held.get()

            await people.add(other, "bob")
            after = of_nats(stack)
            bob = await after.connect("bob", allow_reconnect=False, error_cb=_silent)
            command = subjects.command("bob", "scheduler", "session", "create")
            assert b"COMMANDS" in (await bob.request(command, b"{}", timeout=LIMIT)).data
            await bus.nc.publish(waiting.reply, b"late")
            assert (await asked).data == b"late", "what was under way is answered"
            assert b"REPORTS" in (await worker.request("hr.report.default", b"{}", timeout=LIMIT)).data

            await people.remove(other, "bob")
            await wait_until(lambda: bob.is_closed)
            refused = Client()
            login = {"user": "bob", "password": after.nats_logins["bob"], "allow_reconnect": False}
            with pytest.raises(Error, match=r"(?i)authorization violation"):
                await refused.connect(after.nats_url, error_cb=_silent, **login)
            await refused.close()
            command = subjects.command("alice", "scheduler", "session", "create")
            assert b"COMMANDS" in (await alice.request(command, b"{}", timeout=LIMIT)).data
            assert [client.stats["reconnects"] for client in (alice, worker, bus.nc)] == [0, 0, 0]

            await people.add(other, "bob")
            assert of_nats(stack).nats_logins["bob"] != after.nats_logins["bob"]
            bob = await of_nats(stack).connect("bob")
            assert b"COMMANDS" in (await bob.request(subjects.command("bob", "scheduler", "a", "b"), b"{}")).data
            for client in (alice, bob, worker):
                await client.close()
        for name in ("bob", "worker", "a.b", "", "*", "system"):
            with pytest.raises(HomeError):
                await people.add(other, name)
        with pytest.raises(HomeError):
            await people.remove(other, "carol")
        assert other.people() == ("alice", "bob")


async def _silent(_error: Exception) -> None:
    """nats-py would print it."""
