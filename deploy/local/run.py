"""The stack with its services and workers in one process to start and to stop: what `make run` runs, job or not."""

import argparse
import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

from rich.console import Console

from deploy.local import system
from deploy.local.console import StackConsole
from deploy.local.disk_space import INTERVAL, DiskSpace
from deploy.local.home import FULL, HomeError
from deploy.local.postgres import wipe
from deploy.local.stack import Stack, StartError
from shared.runtime.loop import Loop

Job = Callable[[Path, Console], Awaitable[int]]
"""Runs on a system that is ready: the folder of the stack (with its address and token) and the console → exit status."""


def main(prog: str, about: str, *, app: str = system.APP, job: Job | None = None) -> int:
    """Parses the command line, runs the stack until a signal comes, and returns the exit status.

    `app`: the functions that the workers know, as `module:variable`. `job`: what is run when all is ready; it gives the
    command two more options, `--once` and `--no-job`.
    """
    options = _arguments(prog, about, has_job=job is not None)
    console = StackConsole(Console())
    try:
        if options.wipe:
            wipe(options.home)
            return 0
        return asyncio.run(_until_signal(options, console, app, None if options.no_job else job))
    except (HomeError, StartError) as error:
        console.error(error)
        return 1
    except OSError as error:
        if error.errno not in FULL:
            raise
        console.error(
            f"{options.home}: its disk is full ({error.strerror}); make room and start again: what is stored stays"
        )
        return 1


def _arguments(prog: str, about: str, *, has_job: bool) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=prog, description=about)
    parser.set_defaults(once=False, no_job=False)
    parser.add_argument("--home", type=Path, default=Path(".headrace"), help="where everything is kept (.headrace)")
    parser.add_argument("--servers-only", action="store_true", help="NATS, PostgreSQL and S3, nothing of our own")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="worker processes (one per core)")
    parser.add_argument("--slots", type=int, default=2, help="tasks that each worker runs at once (2)")
    parser.add_argument("--schedulers", type=int, default=1, help="scheduler processes, which share the work (1)")
    parser.add_argument("--wipe", action="store_true", help="delete what is stored, and do nothing else")
    if has_job:
        parser.add_argument("--once", action="store_true", help="stop after the main job, and end with its status")
        parser.add_argument("--no-job", action="store_true", help="do not run the main job")
    return parser.parse_args()


async def _until_signal(options: argparse.Namespace, console: StackConsole, app: str, job: Job | None) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    # Further signals only set the same event again: stopping goes on in its order.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    work = asyncio.create_task(_run_stack(options, console, app, job))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if work.done():
        stopped.cancel()
        return work.result()
    console.line("Stopping …")
    work.cancel()
    await asyncio.wait({work})
    if not work.cancelled() and (error := work.exception()) is not None:
        raise error
    console.line("Stopped.")
    return 130 if options.once else 0


async def _run_stack(options: argparse.Namespace, console: StackConsole, app: str, job: Job | None) -> int:
    async with Stack(options.home, on_event=console.event) as stack:
        console.stack = stack
        console.addresses(stack, services=not options.servers_only)
        disk = asyncio.create_task(Loop("disk_space", INTERVAL, DiskSpace(stack).run_once).run())
        try:
            return await _run_system(stack, options, console, app, job)
        finally:
            disk.cancel()
            await asyncio.wait({disk})


async def _run_system(
    stack: Stack, options: argparse.Namespace, console: StackConsole, app: str, job: Job | None
) -> int:
    status = 0
    if not options.servers_only:
        await system.start(stack, workers=options.workers, slots=options.slots, schedulers=options.schedulers, app=app)
        if job is not None:
            status = await job(stack.home.path, console.console)
    if options.once:
        return status
    console.line("[bold]Running.[/] Ctrl-C stops everything; what is stored stays.")
    await asyncio.Event().wait()
    return 0
