"""Runs the peers one after the other; one that fails does not keep the next from running."""

import asyncio
import os
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console

from deploy.local.process import WORKERS, ending
from deploy.local.stack import Stack
from tests.bench.peers import environment, report
from tests.bench.peers.catalogue import Peer
from tests.bench.peers.environment import PeerError
from tests.bench.peers.servers import serve

LIMIT = 900.0
"""Seconds for all that one peer does."""
LOOK = 1.0
"""Seconds over which it is looked who else uses the machine, before each peer."""


class Measured(msgspec.Struct, frozen=True):
    """What a script prints."""

    seconds: dict[str, list[float]]
    trips_ms: list[float]


async def compare(home: Path, peers: Sequence[Peer], repeats: int, console: Console, limit: float = LIMIT) -> None:
    """Measures `peers`, notes each in `compute.json` as soon as it is done, and prints the table."""
    out = home / "compute.json"
    running = asyncio.current_task()
    assert running is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)  # all is put away, as for Ctrl-C
    async with Stack(home / "peers" / "stack", start=()) as stack:
        for peer in peers:
            found = report.about(peer)
            try:
                if not environment.is_ready(home / "peers", peer):
                    console.print(f"{peer.name}: making its environment …")
                    await environment.make(home / "peers", peer)
                console.print(f"{peer.name} {peer.version}: {peer.setting}")
                found["other_cpu"] = round(await other_cpu(LOOK), 3)
                measured = await _measure(stack, peer, home / "peers", repeats, limit)
                found |= report.figures(peer, measured.seconds, measured.trips_ms)
            except Exception as error:  # whatever it is: the others are to be measured
                found["error"] = str(error) or repr(error)
            report.merge(out, peer.name, found)
    whole = report.read(out)
    console.print(report.table(whole))
    for line in (*report.failures(whole), f"written to {out}"):
        console.print(line, markup=False, highlight=False)


async def _measure(stack: Stack, peer: Peer, home: Path, repeats: int, limit: float) -> Measured:
    counts = {name: getattr(peer, name) for name in ("independent", "chain", "depth", "width", "trips")}
    options = [f"--{name}={count}" for name, count in {**counts, "repeats": repeats}.items()]
    place = environment.folder(home, peer)
    command = [str(place / "bin" / "python"), str(peer.script), *options]
    async with serve(stack, peer.servers, place) as settings:
        # Short, because some put sockets there; and all that a peer leaves in it or in its home goes with it.
        with tempfile.TemporaryDirectory(prefix="peer-", ignore_cleanup_errors=True) as scratch:
            direct = "127.0.0.1,localhost"
            own = {"TMPDIR": scratch, "HOME": scratch, "NO_PROXY": direct, "no_proxy": direct}
            quiet = {"RAY_USAGE_STATS_ENABLED": "0", "PYTHONWARNINGS": "ignore"}
            answer = await _answer(stack, command, {**os.environ, **own, **quiet, **settings}, peer, limit)
    return msgspec.json.decode(answer, type=Measured)


async def _answer(stack: Stack, command: Sequence[str], env: dict[str, str], peer: Peer, limit: float) -> bytes:
    """The last line that a script prints. It has a session of its own, and nothing of that stays behind."""
    log, printed = (stack.home.logs / f"{peer.name}.{kind}" for kind in ("log", "out"))
    with log.open("wb") as errors, printed.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=env,
            cwd=peer.script.parent,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=errors,
            start_new_session=True,
        )
    stack.janitor.watch(process.pid, WORKERS, signal.SIGTERM, 5)
    try:
        async with asyncio.timeout(limit):
            code = await process.wait()
    except TimeoutError:
        raise PeerError(f"was not done after {limit:g} s; its log: {log}") from None
    finally:
        await end_session(process.pid)
        await process.wait()
        stack.janitor.forget(process.pid)
    lines = printed.read_bytes().splitlines()
    if code or not lines:
        last = (log.read_text(errors="replace").strip() or "no output").splitlines()[-1]
        raise PeerError(f"{ending(code)}: {last}; its log: {log}")
    return lines[-1]


def session(leader: int) -> list[int]:
    """The processes of a session that still run, as the kernel tells it: also those whose parent is gone."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, _, _, of, *_ = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(of) == leader and state != "Z":
                found.append(int(entry.name))
    return found


async def end_session(leader: int) -> None:
    """SIGKILL for all of a session, until none is left."""
    while left := session(leader):
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        await asyncio.sleep(0.05)


async def other_cpu(seconds: float) -> float:
    """The fraction of the machine that is used while we wait."""
    before = _cpu_ticks()
    await asyncio.sleep(seconds)
    busy, total = (after - first for after, first in zip(_cpu_ticks(), before, strict=True))
    return busy / total if total else 0.0


def _cpu_ticks() -> tuple[int, int]:
    """Ticks of all cores since boot: those that were used, and all."""
    user, nice, system, idle, wait, *rest = map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9])
    busy = user + nice + system + sum(rest)
    return busy, busy + idle + wait
