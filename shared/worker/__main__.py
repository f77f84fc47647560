"""`python -m shared.worker --app module:app [--partition default] [--slots 4] [--name NAME]`"""

import argparse
import asyncio
import os
import re
import secrets
import socket

from shared.bus.client import Bus
from shared.objects.s3 import open_objects
from shared.runtime import lifecycle
from shared.worker.agent import Agent
from shared.worker.children import Children
from shared.worker.functions import load
from shared.worker.settings import Settings


def _name() -> str:
    host = re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname())
    return f"{host}-{os.getpid()}-{secrets.token_hex(3)}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m shared.worker", description="Runs tasks of a partition.")
    parser.add_argument("--app", required=True, help="the functions, as module:name of an App")
    parser.add_argument("--partition", default="default")
    parser.add_argument("--slots", type=int, default=4, help="tasks that run at once (4)")
    parser.add_argument("--name", default="", help="how it is called; one of a kind (host, process and a random part)")
    options = parser.parse_args()
    if options.slots < 1:
        parser.error("--slots: at least 1")
    if options.name and not re.fullmatch(r"[A-Za-z0-9_-]{1,128}", options.name):
        parser.error("--name: letters, digits, _ and - only")

    async def run(found: Settings, stop: asyncio.Event) -> None:
        app, children = load(options.app), Children(options.app)
        bus = await Bus.connect(found.bus, "worker", apply_topology=False)
        try:
            async with open_objects(found.objects) as objects:
                name = options.name or _name()
                agent = Agent(bus, objects, app, children, name=name, partition=options.partition, slots=options.slots)
                await agent.run(stop, found.drain_seconds)
        finally:
            await children.close()
            await bus.close()

    lifecycle.serve("worker", Settings, run)


if __name__ == "__main__":
    main()
