"""The services and the workers: how each is started on a stack."""

import asyncio
import sys
from pathlib import Path

import httpx

from deploy.local.process import SERVICES, WORKERS, Command, Event
from deploy.local.stack import Stack, StartError
from shared.contracts.subjects import SERVICES as SERVICE_NAMES

APP = "deploy.local.functions:app"
"""The functions that the workers of `make run` know."""
ROOT = Path(__file__).parents[2]
READY_LIMIT = 120.0


def service(stack: Stack, name: str) -> Command:
    """One of the five."""
    return Command(
        name=name,
        argv=(sys.executable, "-m", f"services.{name}"),
        tier=SERVICES,
        env=stack.env(name),
        cwd=ROOT,
    )


def worker(stack: Stack, name: str, *, app: str = APP, partition: str = "default", slots: int = 4) -> Command:
    """A worker process; `name` tells its log apart."""
    options = ("--app", app, "--partition", partition, "--slots", str(slots))
    return Command(
        name=name,
        argv=(sys.executable, "-m", "shared.worker", *options),
        tier=WORKERS,
        env=stack.env("worker"),
        cwd=ROOT,
    )


async def start(stack: Stack, *, workers: int, slots: int) -> None:
    """All of it, each process started again whenever it dies. Returns when the gateway is ready."""
    commands = [service(stack, name) for name in SERVICE_NAMES]
    commands += [worker(stack, f"worker-{number}", slots=slots) for number in range(1, workers + 1)]
    for command in commands:
        stack.tell(Event(command.name, "starting"))
        await stack.run(command)
    await until_ready(stack)
    for command in commands:
        stack.tell(Event(command.name, "ready"))


async def until_ready(stack: Stack, timeout: float = READY_LIMIT) -> None:
    """Until the gateway answers that it and all that it needs are there."""
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
