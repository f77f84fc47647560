"""`python -m shared.worker --app module:app [--exec] [--partition default] [--slots 4] [--name NAME]`"""

import argparse
import asyncio
import os
import re
import secrets
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import msgspec

from shared.bus.client import Bus
from shared.contracts.compute import PartitionName
from shared.contracts.work import EXEC
from shared.objects.s3 import open_objects
from shared.runtime import lifecycle
from shared.runtime.log import log
from shared.runtime.startup import address
from shared.worker.agent import Agent
from shared.worker.children import Children
from shared.worker.commands import Commands
from shared.worker.functions import App, load
from shared.worker.launch import hide
from shared.worker.loop_watchdog import end_if_blocked
from shared.worker.settings import Settings

PATIENCE = 2.0
"""Seconds in which threads have to end when the worker has."""


def _name() -> str:
    host = re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname())
    return f"{host}-{os.getpid()}-{secrets.token_hex(3)}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m shared.worker", description="Runs tasks of one or more partitions."
    )
    parser.add_argument("--app", default="", help="the functions, as module:name of an App")
    parser.add_argument(
        "--exec",
        action="store_true",
        help=f"run tasks of the function {EXEC!r}: whatever command users name, with the rights of this process's user",
    )
    parser.add_argument("--partition", default="default", help="whose tasks it takes; several as a,b,c (default)")
    parser.add_argument("--slots", type=int, default=4, help="tasks that run at once (4)")
    parser.add_argument("--name", default="", help="how it is called; one of a kind (host, process and a random part)")
    options = parser.parse_args()
    if not options.app and not options.exec:
        parser.error("--app, --exec or both: it would have nothing to run")
    if options.slots < 1:
        parser.error("--slots: at least 1")
    if options.name and not re.fullmatch(r"[A-Za-z0-9_-]{1,128}", options.name):
        parser.error("--name: letters, digits, _ and - only")
    try:
        options.partitions = msgspec.convert(options.partition.split(","), list[PartitionName])
    except msgspec.ValidationError:
        parser.error("--partition: names of partitions, with commas between them")
    if len(set(options.partitions)) < len(options.partitions):
        parser.error("--partition: one is named twice")
    options.functions = load(options.app) if options.app else App()
    if options.exec and EXEC in options.functions.functions:
        parser.error(f"--exec: the App has a function {EXEC!r} of its own")
    return options


def leave_threads(status: int) -> None:
    """Ends the process if threads that tasks' code has left would keep it: Python waits for each of them, for ever."""
    until = time.monotonic() + PATIENCE
    left = [thread for thread in threading.enumerate() if not (thread.daemon or thread is threading.main_thread())]
    for thread in left:
        thread.join(max(0.0, until - time.monotonic()))
    if any(thread.is_alive() for thread in left):
        log.warning("worker.threads_left", count=sum(thread.is_alive() for thread in left))
        sys.stderr.flush()
        os._exit(status)


def main() -> None:
    """Runs one worker until it is stopped by a signal; ends the process with its status."""
    options = _options()
    hide()  # commands, and what functions start, run as the same user, and could read our environment

    async def run(found: Settings, stop: asyncio.Event) -> None:
        children = Children(options.app)
        bus = await Bus.connect(found.bus, "worker", apply_topology=False)
        try:
            async with open_objects(found.objects) as objects:
                commands = Commands(objects) if options.exec else None
                blocked = asyncio.create_task(end_if_blocked())
                agent = Agent(
                    *(bus, objects, options.functions, children),
                    name=options.name or _name(), partitions=options.partitions, slots=options.slots, commands=commands,
                    owns_process=True,
                )  # fmt: skip
                known = sorted([*options.functions.functions, *([EXEC] if options.exec else [])])
                log.info(
                    "worker.started", worker=agent.name, nats=address(found.bus.nats_url), slots=options.slots,
                    partitions=options.partitions, functions=known,
                )  # fmt: skip
                await agent.run(stop, found.drain_seconds)
                blocked.cancel()
                if commands is not None:
                    await commands.close()
        finally:
            await children.close()
            await bus.close()
            # Who closes the loop waits for the threads of its executor; those of this one, if they are busy, are not waited for.
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())

    status = 1
    try:
        lifecycle.serve("worker", Settings, run)
        status = 0
    finally:
        leave_threads(status)


if __name__ == "__main__":
    main()
