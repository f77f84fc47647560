"""A virtual environment for each peer: `<home>/<name>/venv`, made anew when its lock has changed."""

import asyncio
import shutil
import sys
from pathlib import Path

from tests.bench.peers.catalogue import Peer


class PeerError(Exception):
    """A peer cannot be measured; the message says why in one line."""


def folder(home: Path, peer: Peer) -> Path:
    return (home / peer.name / "venv").absolute()


def is_ready(home: Path, peer: Peer) -> bool:
    stamp = folder(home, peer) / peer.lock.name
    return stamp.exists() and stamp.read_bytes() == peer.lock.read_bytes()


async def make(home: Path, peer: Peer) -> None:
    """Whole or not at all: the copy of the lock that says what is in it comes last."""
    place = folder(home, peer)
    await _run(sys.executable, "-m", "venv", "--clear", str(place))
    await _run(
        *(
            str(place / "bin" / "python"),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-input",
        ),
        *("--require-hashes", "-r", str(peer.lock)),
    )
    shutil.copy(peer.lock, place)


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        last = (output.decode(errors="replace").strip() or "no output").splitlines()[-1]
        raise PeerError(f"its environment cannot be made: {last}")
