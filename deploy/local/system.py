"""The services, the workers, the pilots of two sites: how each is started on a stack."""

import asyncio
import sys
from pathlib import Path

import httpx
import msgspec

from deploy.local.process import SERVICES, WORKERS, Command, Event
from deploy.local.stack import Stack, StartError
from deploy.nats.permissions import SITES as PERMITTED_SITES
from shared.contracts.subjects import SERVICES as SERVICE_NAMES

APP = "deploy.local.functions:app"
"""The functions that a worker knows unless others are named."""
ROOT = Path(__file__).parents[2]
READY_LIMIT = 120.0
SITES = {"a": "lts-a", "b": ""}
"""The sites of `make run`, each with a broker and a pilot: the storages that are near."""
SITE_CORES = 2
"""Cores that a broker offers by default; its pilot runs as many tasks at once."""


def service(stack: Stack, name: str) -> Command:
    """The process of one of the five services."""
    return Command(
        name=name,
        argv=(sys.executable, "-m", f"services.{name}"),
        tier=SERVICES,
        env=stack.env(name),
        cwd=ROOT,
    )


def broker(stack: Stack, site: str, storages: str = "") -> Command:
    """The broker of `site-<site>`; `storages`: the long-term storages that are near it."""
    env = {**stack.env("broker", f"site-{site}"), "HEADRACE_SITE_STORAGES": storages}
    return msgspec.structs.replace(service(stack, "broker"), name=f"broker-{site}", env=env)


def worker(
    stack: Stack, name: str, *, app: str = APP, partition: str = "default", slots: int = 4, commands: bool = False
) -> Command:
    """A worker process; `name` is that of its log. `commands`: it also runs commands of users (`exec`).

    With a site's partition it is a pilot of that site, and can report of no other tasks.
    """
    options = ("--app", app, "--partition", partition, "--slots", str(slots), *(["--exec"] if commands else []))
    return Command(
        name=name,
        argv=(sys.executable, "-m", "shared.worker", *options),
        tier=WORKERS,
        env=stack.env("worker", partition if partition in PERMITTED_SITES else ""),
        cwd=ROOT,
    )


async def start(stack: Stack, *, workers: int, slots: int, schedulers: int = 1, app: str = APP) -> None:
    """Starts services, workers and pilots, each again whenever it ends. Returns when the gateway is ready.

    `workers`, `schedulers`: how many processes of each; the schedulers are called `scheduler`, `scheduler-2` …
    `slots`: tasks that each worker runs at once. `app`: the functions that workers and pilots know.
    """
    commands = [service(stack, name) for name in SERVICE_NAMES if name != "broker"]
    more = [f"scheduler-{number}" for number in range(2, schedulers + 1)]
    commands += [msgspec.structs.replace(service(stack, "scheduler"), name=name) for name in more]
    commands += [broker(stack, site, storages) for site, storages in SITES.items()]
    commands += [worker(stack, f"worker-{number}", app=app, slots=slots) for number in range(1, workers + 1)]
    commands += [
        worker(stack, f"pilot-{site}-1", app=app, partition=f"site-{site}", slots=SITE_CORES) for site in SITES
    ]
    for command in commands:
        stack.on_event(Event(command.name, "starting"))
        await stack.run(command)
    await until_ready(stack)
    for command in commands:
        stack.on_event(Event(command.name, "ready"))


async def until_ready(stack: Stack, timeout: float = READY_LIMIT) -> None:
    """Waits until the gateway answers that it and all that it needs are there. StartError after `timeout` seconds."""
    problem: object = "no answer"
    async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
        try:
            async with asyncio.timeout(timeout):
                while True:
                    try:
                        answer = await client.get(f"{stack.http}/health/ready")
                        if answer.status_code == httpx.codes.OK:
                            return
                        problem = answer.text
                    except httpx.HTTPError as error:
                        problem = repr(error)
                    await asyncio.sleep(0.1)
        except TimeoutError:
            tails = "\n".join(f"== {name}\n{process.tail(8)}" for name, process in stack.processes.items())
            raise StartError(f"not ready after {timeout:g} s: {problem}; the logs end:\n{tails}") from None
