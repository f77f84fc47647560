"""Workers as processes, with the settings that they have by default: they run commands, are told to stop, drain, and die."""

import asyncio
import resource
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from shared.contracts import ids
from tests.support.processes import Processes


def waits(received: Path, end: str) -> dict[str, Any]:
    """A task that leaves its process's number where `told` says, then waits until `end` is true for the shell."""
    script = f"echo $$ > {received}.part; mv {received}.part {received}; while ! {end}; do sleep 0.05; done; echo $$"
    return {"payload": {"command": ["sh", "-c", script], "outputs": ["-"]}, "options": {"function": "exec"}}


def lives(received: Path) -> bool:
    return Path(f"/proc/{received.read_text().strip()}").exists()


async def ended(client: httpx.AsyncClient, task: str) -> dict[str, Any] | None:
    seen: dict[str, Any] = (await client.get(f"/tasks/{task}")).json()
    return seen if seen["status"] in ("completed", "error", "timeout", "cancelled") else None


def limit_descriptors(system: Processes, worker: str, number: int) -> None:
    pid = system.processes[worker].pid
    assert pid is not None
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (number, number))


async def test_commands_are_cancelled_finished_and_retried(system: Processes, tmp_path: Path) -> None:
    await system.start(workers=0)
    await system.start_worker("worker-1", slots=1, commands=True)
    headers = {"Authorization": f"Bearer {system.token}"}
    async with httpx.AsyncClient(base_url=f"{system.http}/compute/v1", headers=headers, trust_env=False) as client:
        session = (await client.post("/sessions", json={})).json()["id"]

        async def submit(*lines: dict[str, Any]) -> list[str]:
            made = await client.post(f"/sessions/{session}/submissions", json={"tasks": list(lines)})
            assert made.status_code == 201, made.text
            submission = UUID(made.json()["id"])
            return [str(ids.task_id(submission, line)) for line in range(len(lines))]

        async def until(task: str, status: str, attempt: int, timeout: float = 20) -> dict[str, Any]:
            async def there() -> dict[str, Any] | None:
                seen: dict[str, Any] = (await client.get(f"/tasks/{task}")).json()
                return seen if (seen["status"], seen["attempt"]) == (status, attempt) else None

            found = await system.wait_until(there, timeout=timeout)
            assert found is not None
            return found

        # Cancelled: within a second nothing of it runs, and the worker goes on.
        received = tmp_path / "cancelled"
        (task,) = await submit(waits(received, "false"))
        await until(task, "processing", 0)
        await system.wait_until(received.exists)
        began = time.monotonic()
        answer = await client.post(f"/sessions/{session}/tasks/cancel", json={"tasks": [task]})
        assert answer.status_code == 200, answer.text
        await system.wait_until(lambda: not lives(received), every=0.01)
        assert time.monotonic() - began < 1
        await until(task, "cancelled", 0)

        # Killed: another worker has its task within 15 s.
        received, end = tmp_path / "retried", tmp_path / "end"
        (task,) = await submit(waits(received, f"test -e {end}"))
        await until(task, "processing", 0)
        await system.wait_until(received.exists)
        await system.start_worker("worker-2", slots=1, commands=True)
        began = time.monotonic()
        await system.kill("worker-1")
        await system.wait_until(lambda: not lives(received))
        await until(task, "processing", 1)
        seconds = time.monotonic() - began
        print(f"killed, and begun elsewhere after {seconds:.1f} s")
        assert seconds < 15

        # Told to stop: it finishes what it runs, and another has the rest.
        (second,) = await submit(waits(tmp_path / "second", f"test -e {end}"))
        await system.start_worker("worker-3", slots=1, commands=True)
        stopping = asyncio.create_task(system.stop("worker-2"))
        await until(second, "processing", 0)
        assert (await client.get(f"/tasks/{task}")).json()["status"] == "processing"
        end.touch()
        await stopping
        assert (await until(task, "completed", 1))["error"] == ""
        await until(second, "completed", 0)

        # Files larger than what rides along pass through the storage, from command to command.
        make = {"command": ["sh", "-c", "seq 100000 > numbers"], "outputs": ["numbers"]}
        count = {"command": ["wc", "-l"], "inputs": ["-"], "outputs": ["-"]}
        options = {"function": "exec"}
        lines: list[dict[str, Any]] = [{"payload": make}, {"payload": count, "inputs": ["@0"]}]
        _, last = await submit(*({**line, "options": options} for line in lines))
        outputs = (await until(last, "completed", 0))["outputs"]
        assert (await client.get(f"/results/{outputs[0]}/data")).content.split() == [b"100000"]

        # With few descriptors for its 24 slots: what it cannot begin is given back, nothing fails, and it gets well by itself.
        await system.stop("worker-3")
        await system.start_worker("worker-4", slots=24, commands=True)
        limit_descriptors(system, "worker-4", 70)
        lines = [
            {"payload": {"command": ["sleep", "0.1"], "outputs": ["-"]}, "options": {**options, "max_retries": 0}}
            for _ in range(60)
        ]
        tasks = await submit(*lines)
        for task in tasks:
            seen = await system.wait_until(lambda task=task: ended(client, task), timeout=40)
            assert (seen["status"], seen["error"]) == ("completed", "")
        events = [line["event"] for line in system.log("worker-4")]
        assert "worker.short_of_resources" in events
