"""Messages that make no sense, come twice or come late."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from shared.contracts import subjects
from shared.contracts.ids import task_id, uuid7
from shared.contracts.work import Completed, Failed, Output, Report, ReportBatch, Started
from tests.support.chaos.mix import Mix
from tests.support.chaos.run import LIMIT, Run, connected, running
from tests.support.edge import Edge
from tests.support.processes import Processes
from tests.support.servers import settled as subscribed

pytestmark = pytest.mark.chaos

FEW = 1_500
"""Tasks for faults that do not need many."""


def reports(*said: Report) -> bytes:
    return msgspec.json.encode(ReportBatch("nobody", list(said)))


def poison(run: Run) -> dict[str, tuple[str, bytes]]:
    """A message, and what its reason must say. The task reported on has ended long ago: it must not change.

    No commands: one that cannot be carried out has an outcome instead.
    """
    task = task_id(run.submission.id, 0)
    report, tasks = subjects.report("default"), subjects.task("default", 9, run.session)
    return {
        "not a batch of tasks": (tasks, b"nonsense"),
        "not a report": (report, b"\xff\x00"),
        "int16": (report, reports(Completed(task, 1_000_000, []))),
        "int64": (report, reports(Completed(task, 0, [Output(run.result(0), 1 << 63, data=b"1")]))),
    }


async def test_poison_is_set_aside_and_blocks_nothing(system: Processes, edge: Edge) -> None:
    mix = Mix.whole(FEW)
    async with running(system, edge, mix.lines) as run, connected(system) as bus:
        await run.middle()
        wanted = poison(run)
        before = {item["sequence"] for item in await edge.everything("/ops/v1/dead")}
        for subject, data in wanted.values():
            await bus.jetstream().publish(subject, data)

        async def dead() -> list[dict[str, Any]]:
            found = await edge.everything("/ops/v1/dead")
            return [item for item in found if item["sequence"] not in before]

        async def all_dead() -> bool:
            return len(await dead()) == len(wanted)

        await system.wait_until(all_dead, timeout=LIMIT, every=0.2, on_timeout=dead)
        found = await dead()
        for reason, (subject, _) in wanted.items():
            (item,) = (item for item in found if reason in item["reason"])
            assert item["subject"] == subject
            assert item["stream"] == subjects_stream(subject)
        await run.done()
        await run.counted(mix)
        await settled(system, bus)

        # Sent back, it dies again: nothing is lost by trying.
        again = next(item for item in found if "not a report" in item["reason"])
        answer = await edge.ask("POST", "/ops/v1/dead/replay", json={"sequences": [again["sequence"]]})
        assert answer.json()["replayed"] == [again["sequence"]]

        async def back() -> bool:
            now = [item for item in await dead() if item["reason"] == again["reason"]]
            return [item["sequence"] for item in now] != [again["sequence"]] and len(now) == 1

        await system.wait_until(back, timeout=LIMIT, every=0.1, on_timeout=dead)


def subjects_stream(subject: str) -> str:
    return {"task": "TASKS", "report": "REPORTS", "cmd": "COMMANDS"}[subject.split(".")[1]]


async def settled(system: Processes, bus: Client) -> None:
    """Until nothing waits in the queues any more."""
    jetstream = bus.jetstream()

    async def left() -> dict[str, int]:
        infos = [await jetstream.stream_info(name, subjects_filter=">") for name in ("TASKS", "REPORTS", "COMMANDS")]
        found = {subject: count for info in infos for subject, count in (info.state.subjects or {}).items()}
        # Of the behaviours' partition, which shares this system: its worker is gone, and a task that it gave back may lie there.
        return {subject: count for subject, count in found.items() if not subject.startswith("hr.task.behaviours.")}

    async def empty() -> bool:
        return not await left()

    await system.wait_until(empty, timeout=LIMIT, every=0.1, on_timeout=left)


async def test_a_command_that_is_refused_is_told_so(system: Processes) -> None:
    """Malformed commands are not poison: their sender is told what is wrong."""
    received: list[tuple[str, dict[str, Any]]] = []
    async with connected(system) as bus:

        async def hear(message: Msg) -> None:
            received.append((message.subject, msgspec.json.decode(message.data)))

        await bus.subscribe("hr.evt.command.*.*", cb=hear)
        await subscribed(bus)
        for verb, data in (("create", b"{"), ("create", b'{"nonsense":1}'), ("fly", b"{}"), ("create", b"{}")):
            await bus.jetstream().publish(subjects.command("admin", "scheduler", "session", verb), data)
        await system.wait_until(lambda: len(received) == 4, timeout=LIMIT, on_timeout=lambda: received)
        received.sort(key=lambda one: int(one[0].rpartition(".")[2]))  # two schedulers work side by side
        assert [subject.split(".")[3] for subject, _ in received] == ["rejected"] * 3 + ["done"]
        assert "nonsense" in received[1][1]["error"]["message"]
        await settled(system, bus)


async def twice(bus: Client, subject: str, change: Callable[[Msg], bytes | None]) -> list[Msg]:
    """Publishes again what goes by under a subject; returns what has gone by so far."""
    heard: list[Msg] = []

    async def hear(message: Msg) -> None:
        if (message.headers or {}).get("Again"):
            return
        heard.append(message)
        if (data := change(message)) is not None:
            await bus.publish(message.subject, data, headers={"Again": "yes"})

    await bus.subscribe(subject, cb=hear)
    return heard


async def test_every_message_comes_twice(system: Processes, edge: Edge) -> None:
    mix = Mix.whole(FEW)
    async with connected(system) as bus:
        tasks = await twice(bus, "hr.task.>", lambda message: message.data)
        received = await twice(bus, "hr.report.>", lambda message: message.data)
        async with running(system, edge, mix.lines) as run:
            await run.done()
            await settled(system, bus)
            assert tasks
            assert received
            for message in (*tasks, *received):  # and once more when all is over
                await bus.publish(message.subject, message.data, headers={"Again": "yes"})
            await subscribed(bus)
            await settled(system, bus)
            await run.counted(mix)


async def test_late_and_false_reports_change_nothing(system: Processes, edge: Edge) -> None:
    mix = Mix.whole(FEW)
    async with running(system, edge, mix.lines) as run, connected(system) as bus:
        await run.middle()
        ended = list(run.received.completed)[:100]
        stranger: UUID = uuid7()

        async def say(*said: Report) -> None:
            await bus.jetstream().publish(subjects.report("default"), reports(*said))

        for kind in ("error", "timeout", "lost"):
            await say(*(Failed(task, 0, kind, "late") for task in ended), Failed(stranger, 0, kind, "who?"))
        await say(*(Started(task, 0, "nobody") for task in ended), Started(stranger, 0, "nobody"))
        await say(*(Completed(task, 0, [Output(uuid7(), 1, data=b"1")]) for task in ended))
        await say(*(Completed(task, 1, [Output(uuid7(), 1, data=b"1")]) for task in ended))  # of the future
        # A task that still waits for its inputs cannot have run.
        last = task_id(run.submission.id, len(mix) - 1)
        await say(Started(last, 0, "nobody"), Completed(last, 0, [Output(run.result(len(mix) - 1), 1, data=b"1")]))
        await run.done()
        await settled(system, bus)
        await run.counted(mix)
