"""docs/events.md, followed to the letter: sessions, submissions and watching with nothing but a NATS client and JSON."""

import asyncio
import json
import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.support.processes import Processes
from tests.support.servers import settled

PAGE = Path(__file__).parents[2] / "docs/events.md"
TASKS = 20_000


def documented() -> Any:
    """What the page's Python defines."""
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S))
    scope: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), scope)
    return SimpleNamespace(**scope)


doc = documented()


class Picture:
    """What is known of a session's tasks by its watch, as the page says that it is to be read."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.names: list[str] = []
        self.in_snapshot = 0
        self.status = ""

    def take(self, event: dict[str, Any]) -> None:
        name, data = event["event"], event["data"]
        self.names.append(name)
        if name == "snapshot.begin":
            self.states, self.status = {}, data["status"]
        elif name == "snapshot.states":
            for state, ids in data.get("tasks", {}).items():
                self.states |= dict.fromkeys(ids, state)
            self.in_snapshot = sum(state == "completed" for state in self.states.values())
        elif name == "submission.visible":
            number = UUID(data["submission"]).int
            for line in range(data["tasks"]):
                self.states.setdefault(str(UUID(int=number + line)), "pending")
        elif name == "task.changed":
            for state in ("started", "completed", "failed", "cancelled"):
                self.states |= dict.fromkeys(data.get(state, ()), state)
        elif name.startswith("session."):
            self.status = data["status"]

    @property
    def completed(self) -> int:
        return sum(state == "completed" for state in self.states.values())

    async def follow(self, bus: Any, session: str, tasks: int) -> None:
        async for event in doc.watch(bus, "alice", "session", session=session, wait=1):
            self.take(event)
            if event["event"] in ("task.changed", "snapshot.end") and self.completed == tasks:
                return


async def test_everything_by_nats_alone(system: Processes) -> None:
    await system.start(workers=1, app="tests.support.functions:app")
    problems: list[str] = []

    async def note(error: Exception) -> None:
        problems.append(str(error))

    bus = await system.bus("alice", error_cb=note)
    outcomes = doc.Outcomes(bus, "alice")
    await outcomes.open()
    made = await outcomes.of(await doc.publish(bus, "alice", "scheduler.session.create", {"name": "by nats"}))
    session = made["id"]
    assert made["owner"] == "alice"

    first, under_load = Picture(), Picture()
    watching = [asyncio.create_task(first.follow(bus, session, TASKS))]
    await system.wait_until(lambda: "snapshot.end" in first.names)
    tasks = [{"payload": {"n": n}, "options": {"function": "add"}} for n in range(TASKS)]
    submission = await doc.submit(bus, "alice", outcomes, session, tasks)
    assert (submission["status"], submission["chunks"], submission["tasks"]) == ("visible", 10, TASKS)

    # A second one begins while tasks complete; and the gateway is killed under both.
    await system.wait_until(
        lambda: first.completed > 500, timeout=30, on_timeout=lambda: (Counter(first.states.values()), system.tails())
    )
    watching.append(asyncio.create_task(under_load.follow(bus, session, TASKS)))
    await system.wait_until(lambda: "snapshot.end" in under_load.names)
    await system.kill("gateway")
    await system.start_service("gateway")
    async with asyncio.timeout(60):
        await asyncio.gather(*watching)
    for picture in (first, under_load):
        assert len(picture.states) == picture.completed == TASKS
        assert picture.names.count("snapshot.begin") == 1, "after the kill it went on where it was"
    assert 500 < under_load.in_snapshot < TASKS

    # Refused: the reason is told. What others do is not.
    with pytest.raises(RuntimeError, match="needs the permission"):
        await outcomes.of(await doc.publish(bus, "alice", "scheduler.partition.create", {"name": "mine"}))
    admin = await system.bus()
    theirs = json.loads((await admin.request("hr.cmd.admin.scheduler.session.create", b"{}")).data)["seq"]
    with pytest.raises(RuntimeError, match="not_found"):
        await outcomes.of(await doc.publish(bus, "alice", "scheduler.session.close", {"session": str(uuid4())}))
    await outcomes.of(await doc.publish(bus, "alice", "scheduler.session.close", {"session": session}))
    assert theirs not in outcomes.found
    seen = await doc.ask(admin, "admin", "commands", {"place": "0-0"})
    assert seen["lost"], "a place of another stream"
    assert [event["id"] for event in seen["events"]] == [str(theirs)]
    foreign = json.loads(json.dumps(seen["events"][0]["data"]["reply"]))["id"]
    with pytest.raises(RuntimeError, match="not_found"):
        await doc.ask(bus, "alice", "session", {"session": foreign})
    await bus.publish("hr.watch.admin.session", json.dumps({"session": foreign}).encode(), reply=bus.new_inbox())
    await settled(bus)
    await system.wait_until(lambda: any("permissions violation" in problem.lower() for problem in problems))

    async for event in doc.watch(bus, "alice", "session", session=session, events=["session"]):
        if event["event"] == "snapshot.begin":
            assert event["data"]["status"] == "closed"
            break
    await bus.close()
    await admin.close()
