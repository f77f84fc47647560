"""The worker's side of `launch`: one command, its folder, and the pipes of what it prints."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any, Self

import msgspec

from shared.contracts.work import Command
from shared.runtime.log import log
from shared.runtime.plain import plain
from shared.worker import launch
from shared.worker.children import Lost
from shared.worker.functions import TaskError
from shared.worker.printed import Printed
from shared.worker.tap import Tap

STREAM = "-"
"""The name of the standard input among inputs, of the standard output among outputs."""
LAST_LINES, LAST_BYTES = 20, 2000
"""What an error tells of what the command wrote to its standard error."""
PATIENCE = 5.0
"""Seconds in which a command must have died of SIGKILL. Then its end is reported all the same; its launcher goes on."""
_PATH = os.environ.get("PATH", os.defpath)


class _Tail:
    """Passes on what is printed, and keeps the end of it."""

    def __init__(self, printed: Printed) -> None:
        self._printed, self.kept = printed, b""

    def write(self, data: bytes) -> bool:
        self.kept = (self.kept + data)[-LAST_BYTES:]
        return self._printed.write(data)


class Launcher:
    """`start`, then `run`; `stop` in any case, and `removed` when there is time."""

    def __init__(self, process: Process, out: Tap, err: Tap, tail: _Tail) -> None:
        self._process, self._taps, self._tail = process, [out, err], tail
        self._folder = Path()
        self._pid = 0
        self._gone = False

    @classmethod
    async def start(cls, printed: Printed) -> Self:
        """A launcher with a fresh folder. Lost if there can be none."""
        (out, out_end), (err, err_end) = os.pipe(), os.pipe()
        # Nothing of the worker's own environment: what is in it, the bus's password for one, is not for commands.
        env = {"PATH": _PATH, "TMPDIR": tempfile.gettempdir(), "LANG": "C.UTF-8"}
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", launch.__file__, str(out_end)),
                stdin=PIPE, stdout=PIPE, stderr=err_end, pass_fds=(out_end,), env=env, start_new_session=True,
            )  # fmt: skip
        except BaseException:
            os.close(out)
            os.close(err)
            raise
        finally:
            os.close(out_end)
            os.close(err_end)
        tail = _Tail(printed)
        made = cls(process, Tap(out), Tap(err), tail)
        made._taps[0].begin(printed)
        made._taps[1].begin(tail)
        try:
            made._folder = Path((await made._hear())["folder"])
        except BaseException:
            await made.stop()
            raise
        return made

    def place(self, name: str, stream: str) -> Path:
        """Where a file of the command lies. `stream`: which of `stdin`, `stdout` the name `-` stands for."""
        return self._folder / stream if name == STREAM else self._folder / "work" / name

    async def run(self, command: Command) -> int:
        """Runs it to its end; its status, minus the number of the signal that killed it. TaskError: it cannot be run."""
        work = self._folder / "work"
        env = {"PATH": _PATH, "HOME": str(work), "TMPDIR": str(self._folder / "tmp"), "LANG": "C.UTF-8", **command.env}
        job = msgspec.to_builtins(msgspec.structs.replace(command, env=env)) | {
            "limits": msgspec.structs.asdict(command.limits),
            "stdin": STREAM in command.inputs,
            "stdout": STREAM in command.outputs,
        }
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError):  # it has died: which is heard next
            self._process.stdin.write(msgspec.json.encode(job) + b"\n")
            await self._process.stdin.drain()
        said = await self._hear()
        if "began" in said:
            self._pid = said["began"]
            said = await self._hear()
        self._gone = True
        self._close_taps()
        if "refused" in said:
            raise TaskError(f"cannot run {command.command[0]!r}: {said['refused']}")
        return int(said["status"])

    def last_words(self) -> str:
        """The last lines that it wrote to its standard error."""
        lines = plain(self._tail.kept.decode("utf-8", "replace")).splitlines()
        return "\n".join(lines[-LAST_LINES:])

    async def stop(self) -> None:
        """What came of the command is killed, and its folder will be removed; returns when nothing of it lives."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(PATIENCE):
                while not self._gone:
                    self._gone = "gone" in await self._hear()
        except TimeoutError:
            log.warning("worker.command_lives", pid=self._pid)
        except Lost:
            pass
        self._close_taps()

    async def removed(self) -> None:
        """Waits until the launcher has ended and the folder is gone."""
        await self._process.wait()
        if self._folder.name and self._folder.exists():  # it was killed
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def _hear(self) -> dict[str, Any]:
        """What the launcher says next; Lost if it has died: then what it ran is killed, as far as we know of it."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if line:
            said: dict[str, Any] = msgspec.json.decode(line)
            return said
        if self._pid and not self._gone:
            with contextlib.suppress(OSError):
                os.killpg(self._pid, signal.SIGKILL)
        self._gone = True
        raise Lost(f"the process that ran it ended with status {await self._process.wait()}")

    def _close_taps(self) -> None:
        while self._taps:
            self._taps.pop().close()
