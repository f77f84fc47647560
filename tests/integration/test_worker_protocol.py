"""docs/worker-protocol.md, followed to the letter by a worker that knows nothing of ours but a NATS client and JSON."""

import asyncio
import base64
import json
import secrets
import time
import uuid
from typing import Any

import httpx
from nats.aio.client import Client
from nats.aio.msg import Msg

from tests.support.processes import Processes

NAME = "stranger-1"


class Stranger:
    """One slot, functions `double` and `endless`. With the payload `"delegate"` it leaves its output to a task that it submits.

    `over`: sessions with the epoch, and tasks with the attempt that are over.
    """

    def __init__(self, bus: Client) -> None:
        self.bus, self.holds, self.stopped = bus, set[tuple[str, int]](), set[str]()
        self.seen: list[int] = []
        self.over: dict[str, int] = {}
        self.received = asyncio.Event()

    async def run(self) -> None:
        beating = asyncio.create_task(self._beat())
        inbox = self.bus.new_inbox()
        arrived: asyncio.Queue[Msg] = asyncio.Queue()
        await self.bus.subscribe(inbox, cb=arrived.put)  # type: ignore[arg-type]
        await self.bus.subscribe("hr.ctl.session.*", cb=self._on_control)
        ask = json.dumps({"batch": 1, "expires": 2_000_000_000}).encode()
        try:
            while True:
                await self.bus.publish("$JS.API.CONSUMER.MSG.NEXT.TASKS.workers-default", ask, reply=inbox)
                message = await arrived.get()
                if message.reply.startswith("$JS.ACK"):  # otherwise: nothing came before the request expired
                    await self._take(message)
        finally:
            beating.cancel()

    async def _beat(self) -> None:
        every = 0.0
        while True:
            await asyncio.sleep(every)  # the heartbeat's own pace
            beat = {
                "worker": NAME,
                "partition": "default",
                "slots": 1,
                "functions": ["double", "endless"],
                "holds": list(self.holds),
            }
            answer = await self.bus.request(f"hr.beat.worker.{NAME}", json.dumps(beat).encode())
            received = json.loads(answer.data)
            every = min(received["every"], 0.2)
            self.stopped |= set(received["stop"])
            self.received.set()

    async def _on_control(self, message: Msg) -> None:
        said = json.loads(message.data)
        if said.get("tasks") is None:
            self.over[message.subject.split(".")[-1]] = 2**31 if said["event"] == "cancelled" else said.get("epoch", 0)
        elif said["event"] in ("cancelled", "preempted"):
            self.over |= dict(said["tasks"])
        self.received.set()

    def _may(self, batch: dict[str, Any], task: dict[str, Any]) -> bool:
        return batch["epoch"] > self.over.get(batch["session"], 0) and task.get("attempt", 0) > self.over.get(
            task["id"], -1
        )

    async def _take(self, message: Msg) -> None:
        self.seen.append(message.metadata.num_delivered)
        batch = json.loads(message.data)
        tasks = [task for task in batch["tasks"] if self._may(batch, task)]
        if message.metadata.num_delivered > 1:
            asked = {"worker": NAME, "tasks": [[task["id"], task.get("attempt", 0)] for task in tasks]}
            answer = await self.bus.request("hr.rpc.scheduler.task.confirm", json.dumps(asked).encode())
            may = json.loads(answer.data)["run"]
            tasks = [task for task in tasks if task["id"] in may]
        elif any(task.get("payload") == "later" for task in tasks):
            await self.bus.publish(message.reply, b"-NAK")
            return
        for task in tasks:
            await self._report(await self._run(batch, task))
        await self.bus.publish(message.reply, b"+ACK")

    async def _run(self, batch: dict[str, Any], task: dict[str, Any]) -> dict[str, Any]:
        its = {"task": task["id"], "attempt": task.get("attempt", 0)}
        if task["function"] == "endless":
            await self._report({"type": "started", **its, "worker": NAME})
            self.holds.add((its["task"], its["attempt"]))
            await self._report({"type": "progress", **its, "fraction": 0.25, "message": "a quarter"})
            while self._may(batch, task) and task["id"] not in self.stopped:
                self.received.clear()
                await self.received.wait()
            self.holds.discard((its["task"], its["attempt"]))
            return {"type": "failed", **its, "kind": "cancelled", "message": "stopped"}
        if task["function"] != "double":
            return {"type": "failed", **its, "kind": "returned", "message": f"no function {task['function']!r}"}
        began = time.monotonic()
        values = [base64.b64decode(value["data"]) for value in task.get("inputs", [])]
        number = int(values[0]) if values else 1
        data = base64.b64encode(str(2 * number).encode()).decode()
        outputs = [{"id": name, "size": len(str(2 * number)), "data": data} for name in task["outputs"]]
        await self._report({"type": "started", **its, "worker": NAME})
        self.holds.add((its["task"], its["attempt"]))
        await self._report({"type": "progress", **its, "fraction": 0.5, "message": "half"})
        await self._report({"type": "logged", **its, "start": 0, "text": f"{number}, doubled\n"})
        self.holds.discard((its["task"], its["attempt"]))
        if task.get("payload") == "delegate":
            return {"type": "completed", **its, "outputs": [], "submission": await self._hand_over(task, its)}
        return {"type": "completed", **its, "outputs": outputs, "seconds": time.monotonic() - began}

    async def _hand_over(self, task: dict[str, Any], its: dict[str, Any]) -> str:
        """One part, sent twice."""
        number = time.time_ns() // 1_000_000 << 80 | 7 << 76 | 2 << 62 | secrets.randbits(29) << 33
        child = {"inputs": [value["id"] for value in task["inputs"]], "outputs": task["outputs"]}
        child |= {"options": {"function": "double"}}
        part = {**its, "submission": str(uuid.UUID(int=number)), "last": True, "tasks": [child]}
        for _ in range(2):
            answer = await self.bus.request("hr.rpc.scheduler.task.spawn", json.dumps(part).encode())
            assert json.loads(answer.data) == {"parts": 1, "tasks": 1}
        return str(part["submission"])

    async def _report(self, report: dict[str, Any]) -> None:
        """Published until the bus says that it has it; twice is the same as once."""
        batch = json.dumps({"worker": NAME, "reports": [report], "v": 1}).encode()
        for _ in range(2):
            answer = await self.bus.request("hr.report.default", batch)
            assert "seq" in json.loads(answer.data)


async def test_a_worker_in_another_language(system: Processes) -> None:
    await system.start("gateway", "scheduler", "archiver", "retriever", "broker", workers=0)
    bus = await system.bus("worker")
    admin = await system.bus()
    progress: list[dict[str, Any]] = []

    async def on_progress(message: Msg) -> None:
        progress.append(json.loads(message.data))

    await admin.subscribe("hr.evt.task.progress.*", cb=on_progress)
    await admin.flush()
    stranger = Stranger(bus)
    working = asyncio.create_task(stranger.run())
    headers = {"Authorization": f"Bearer {system.token}"}
    async with httpx.AsyncClient(base_url=f"{system.http}/compute/v1", headers=headers, trust_env=False) as client:
        session = (await client.post("/sessions", json={})).json()["id"]
        chain: list[dict[str, Any]] = [{"payload": "later", "options": {"function": "double"}}]
        chain += [{"inputs": [f"@{line}"], "options": {"function": "double"}} for line in range(4)]
        chain[2]["payload"] = "delegate"
        chain += [{"options": {"function": "never"}}]
        made = await client.post(f"/sessions/{session}/submissions", json={"tasks": chain})
        assert made.status_code == 201, made.text

        async def ended() -> list[dict[str, Any]] | None:
            assert not working.done(), working.exception()
            items = (await client.get(f"/sessions/{session}/tasks")).json()["items"]
            over = [task for task in items if task["ended_at"]]
            return items if len(over) == 6 and items[5]["attempt"] else None

        async def shown() -> object:
            return stranger.seen, (await client.get(f"/sessions/{session}/tasks")).json(), system.tails()

        tasks: Any = await system.wait_until(ended, timeout=20, on_timeout=shown)
        assert [task["status"] for task in tasks] == ["completed"] * 5 + ["pending", "completed"]
        assert [task.get("parent") for task in tasks] == [None] * 6 + [tasks[2]["id"]]
        why = (await client.get(f"/tasks/{tasks[5]['id']}/explain")).json()["reasons"]
        assert "no live worker of partition 'default' has function 'never'" in why[0]
        printed = await client.get(f"/tasks/{tasks[4]['id']}/logs", params={"attempt": 0, "start": 4})
        assert printed.json() == {
            "task": tasks[4]["id"], "attempt": 0, "text": "doubled\n", "next": 12, "more": False, "ended": True
        }  # fmt: skip
        value = await client.get(f"/results/{tasks[4]['outputs'][0]}/data")
        assert value.content == b"32"

        # One task is cancelled while it runs, then a session whose other task waits.
        for path, body in (("tasks/cancel", True), ("cancel", False)):
            lines: list[dict[str, Any]] = [{"options": {"function": "endless"}}]
            lines += [] if body else [{"payload": n, "options": {"function": "double"}} for n in range(3)]
            made = await client.post(f"/sessions/{session}/submissions", json={"tasks": lines})
            items = (await client.get(f"/sessions/{session}/tasks")).json()["items"]
            (endless,) = [task["id"] for task in items if task["function"] == "endless" and not task["ended_at"]]

            async def at_a_quarter(endless: str = endless) -> bool:
                assert not working.done(), working.exception()
                return any(each["task"] == endless and each["fraction"] == 0.25 for each in progress)

            await system.wait_until(at_a_quarter, on_timeout=shown)
            answer = await client.post(
                f"/sessions/{session}/{path}", **({"json": {"tasks": [endless]}} if body else {})
            )
            assert answer.status_code == 200, answer.text

            async def cancelled(endless: str = endless) -> bool:
                return bool((await client.get(f"/tasks/{endless}")).json()["status"] == "cancelled")

            await system.wait_until(cancelled, timeout=5, on_timeout=shown)
        ends = [task["status"] for task in (await client.get(f"/sessions/{session}/tasks")).json()["items"]]
        assert ends.count("cancelled") == 6, "with the one that waited for its function"
    assert 2 in stranger.seen, "the message given back came again, and was asked about"
    assert not stranger.holds
    working.cancel()
    await bus.close()
    await admin.close()
