"""`python -m deploy.local`: the servers, the services, the workers, and the main job. Ctrl-C stops everything."""

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path

from rich.console import Console

from deploy.demo.job import job
from deploy.local import system
from deploy.local.home import FULL, HomeError
from deploy.local.postgres import wipe
from deploy.local.room import EVERY, Room
from deploy.local.show import Show
from deploy.local.stack import Stack, StartError
from shared.runtime.loop import Loop


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description=__doc__)
    parser.add_argument("--once", action="store_true", help="stop when the main job is done; its result is the status")
    parser.add_argument("--home", type=Path, default=Path(".headrace"), help="where everything is kept (.headrace)")
    parser.add_argument("--servers-only", action="store_true", help="NATS, PostgreSQL and S3, nothing of our own")
    parser.add_argument("--no-job", action="store_true", help="do not run the main job")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="worker processes (one per core)")
    parser.add_argument("--slots", type=int, default=2, help="tasks that each worker runs at once (2)")
    parser.add_argument("--schedulers", type=int, default=1, help="scheduler processes, which share the work (1)")
    parser.add_argument("--wipe", action="store_true", help="delete what is stored, and do nothing else")
    return parser.parse_args()


async def _work(options: argparse.Namespace, show: Show) -> int:
    async with Stack(options.home, tell=show.event) as stack:
        show.stack = stack
        show.addresses(stack, services=not options.servers_only)
        room = asyncio.create_task(Loop("room", EVERY, Room(stack).run_once).run())
        try:
            return await _inside(stack, options, show)
        finally:
            room.cancel()
            await asyncio.wait({room})


async def _inside(stack: Stack, options: argparse.Namespace, show: Show) -> int:
    result = 0
    if not options.servers_only:
        await system.start(stack, workers=options.workers, slots=options.slots, schedulers=options.schedulers)
        if not options.no_job:
            result = await job.main(stack.home.path, show.console)
    if options.once:
        return result
    show.say("[bold]Running.[/] Ctrl-C stops everything; what is stored stays.")
    await asyncio.Event().wait()
    return 0


async def _run(options: argparse.Namespace, show: Show) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    # Further signals only set the same event again: stopping goes on in its order.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    work = asyncio.create_task(_work(options, show))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if work.done():
        stopped.cancel()
        return work.result()
    show.say("Stopping …")
    work.cancel()
    await asyncio.wait({work})
    if not work.cancelled() and (error := work.exception()) is not None:
        raise error
    show.say("Stopped.")
    return 130 if options.once else 0


def main() -> int:
    options = _arguments()
    show = Show(Console())
    try:
        if options.wipe:
            wipe(options.home)
            return 0
        return asyncio.run(_run(options, show))
    except (HomeError, StartError) as error:
        show.error(error)
        return 1
    except OSError as error:
        if error.errno not in FULL:
            raise
        show.error(
            f"{options.home}: its disk is full ({error.strerror}); make room and start again: what is stored stays"
        )
        return 1


if __name__ == "__main__":
    sys.exit(main())
