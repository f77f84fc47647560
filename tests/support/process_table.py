"""A process table that is full: run as a script, by somebody who is held to a limit of processes. Prints what became of each task.

A command forks as often as it can, and lives until the others have been tried.
"""

import asyncio
import os
import resource
from pathlib import Path
from uuid import uuid4

import msgspec

from shared.contracts.work import Command
from shared.testing.objects import MemoryObjects
from shared.worker.child_protocol import Call
from shared.worker.children import Children
from shared.worker.commands import Commands
from shared.worker.log_buffer import LogBuffer
from tests.support.behaviours.blocking import PATH
from tests.support.wait import wait_until

PROCESSES = 60
BOMB = """
import os, time
for n in range(200):
    try:
        if not os.fork(): time.sleep(3600)
    except OSError: break
open("full", "x")
while not os.path.exists("end"): time.sleep(0.01)
"""


async def main() -> None:
    commands, children = Commands(MemoryObjects()), Children(PATH)

    async def command(*words: str) -> str:
        printed = LogBuffer(uuid4(), 0, lambda report: None)
        payload = msgspec.json.encode(Command(list(words)))
        return await outcome(commands.run(payload, [], uuid4(), [], printed, 0))

    async def function() -> str:
        printed = LogBuffer(uuid4(), 0, lambda report: None)
        call = Call("echo", uuid4(), 0, b"1", [], 1, [], [uuid4()])
        return await outcome(children.run(call, lambda *_: None, printed))

    async def outcome(run: object) -> str:
        try:
            await run  # type: ignore[misc]
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return "completed"

    bomb = asyncio.create_task(command("python3", "-S", "-c", BOMB))
    folder = Path(os.environ["TMPDIR"])
    (full,) = await wait_until(lambda: list(folder.glob("*/work/full")))
    print("command", await command("echo"))
    print("function", await function())
    full.with_name("end").touch()
    print("bomb", await bomb)
    print("command", await command("echo"))
    print("function", await function())
    await children.close()
    await commands.close()


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NPROC, (PROCESSES, PROCESSES))
    asyncio.run(main())
