"""The worker's side of `launch`: one command, its folder, and the pipes of what it prints."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import msgspec

from shared.contracts.work import Command
from shared.runtime.log import log
from shared.runtime.plain import plain
from shared.worker import launch
from shared.worker.children import AttemptLost
from shared.worker.error_text import TaskError
from shared.worker.line_process import LineProcess, ending
from shared.worker.log_buffer import LogBuffer
from shared.worker.output_pipe import OutputPipe
from shared.worker.shortage import ResourceShortage, shortage_text, spare_descriptors

STREAM = "-"
"""The name of the standard input among inputs, of the standard output among outputs."""
LAST_LINES, LAST_BYTES = 20, 2000
"""What an error quotes of what the command wrote to its standard error."""
PATIENCE = 5.0
"""Seconds in which a command must have died of SIGKILL. Then its end is reported all the same; its launcher goes on."""
RESERVE = 20
"""Descriptors that must be left to start a launcher: it needs 7 of them for a moment, and 3 as long as it lives."""
PROBE = 1024 * 1024
"""Bytes that must fit on the disk of a worker that can run commands."""
_PATH = os.environ.get("PATH", os.defpath)


class _Tail:
    """Passes on what is printed, and keeps the end of it."""

    def __init__(self, log_buffer: LogBuffer) -> None:
        self._log_buffer, self.kept = log_buffer, b""

    def write(self, data: bytes) -> bool:
        self.kept = (self.kept + data)[-LAST_BYTES:]
        return self._log_buffer.write(data)


class Launcher:
    """Runs one command: `start`, then `run`; `stop` in any case, and `removed` when there is time."""

    def __init__(self, process: LineProcess, out: OutputPipe, err: OutputPipe, tail: _Tail) -> None:
        self._process, self._output_pipes, self._tail = process, [out, err], tail
        self._folder = Path()
        self._pid = 0
        self._gone = False

    @classmethod
    async def start(cls, log_buffer: LogBuffer) -> Self:
        """A launcher with a fresh folder. ResourceShortage if there can be none, AttemptLost if it died."""
        try:
            made = await cls._spawned(log_buffer)
        except OSError as error:
            raise ResourceShortage(f"no command can be started: {shortage_text(error)}", probe) from None
        try:
            made._folder = Path((await made._receive())["folder"])
        except BaseException:
            await made.stop()
            raise
        return made

    @classmethod
    async def _spawned(cls, log_buffer: LogBuffer) -> Self:
        spare_descriptors(RESERVE)
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            (out, out_end), (err, err_end) = _pipe(ours, theirs), _pipe(ours, theirs)
            # Nothing of the worker's own environment: what is in it, the bus's password for one, is not for commands.
            env = {"PATH": _PATH, "TMPDIR": tempfile.gettempdir(), "LANG": "C.UTF-8"}
            command = [sys.executable, "-I", "-S", launch.__file__]
            process = await LineProcess.start(command, stdout=out_end, stderr=err_end, env=env)
            ours.pop_all()
        tail = _Tail(log_buffer)
        made = cls(process, OutputPipe(out), OutputPipe(err), tail)
        made._output_pipes[0].begin(log_buffer)
        made._output_pipes[1].begin(tail)
        return made

    def place(self, name: str, stream: str) -> Path:
        """Where a file of the command lies. `stream`: which of `stdin`, `stdout` the name `-` stands for."""
        return self._folder / stream if name == STREAM else self._folder / "work" / name

    async def run(self, command: Command) -> int:
        """Runs the command to its end; its status, or minus the number of the signal that killed it. TaskError if it cannot be run."""
        work = self._folder / "work"
        env = {"PATH": _PATH, "HOME": str(work), "TMPDIR": str(self._folder / "tmp"), "LANG": "C.UTF-8", **command.env}
        job = msgspec.to_builtins(msgspec.structs.replace(command, env=env)) | {
            "limits": msgspec.structs.asdict(command.limits),
            "stdin": STREAM in command.inputs,
            "stdout": STREAM in command.outputs,
        }
        await self._process.send(msgspec.json.encode(job) + b"\n")
        message = await self._receive()
        if "began" in message:
            self._pid = message["began"]
            message = await self._receive()
        self._gone = True
        self._close_output_pipes()
        if "refused" in message:
            raise TaskError(f"cannot run {command.command[0]!r}: {message['refused']}")
        return int(message["status"])

    def stderr_tail(self) -> str:
        """The last lines that the command wrote to its standard error."""
        lines = plain(self._tail.kept.decode("utf-8", "replace")).splitlines()
        return "\n".join(lines[-LAST_LINES:])

    async def stop(self) -> None:
        """What came of the command is killed, and its folder will be removed; returns when nothing of it lives."""
        self._process.close()
        try:
            async with asyncio.timeout(PATIENCE):
                while not self._gone:
                    with contextlib.suppress(ResourceShortage):
                        self._gone = "gone" in await self._receive()
        except TimeoutError:
            log.warning("worker.command_lives", pid=self._pid)
        except AttemptLost:
            pass
        self._close_output_pipes()

    async def removed(self) -> None:
        """Waits until the launcher has ended and the folder is gone."""
        await self._process.wait()
        if self._folder.name and self._folder.exists():  # it was killed
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def _receive(self) -> dict[str, Any]:
        """The launcher's next message. AttemptLost if it has died: then what it ran is killed, as far as we know of it."""
        message = await self._process.receive()
        if message is not None and "shortage" in message:
            raise ResourceShortage(f"no command can be started: {message['shortage']}", probe)
        if message is not None:
            return message
        if self._pid and not self._gone:
            with contextlib.suppress(OSError):
                os.killpg(self._pid, signal.SIGKILL)
        self._gone = True
        raise AttemptLost(f"the process that ran it {ending(await self._process.wait())}")

    def _close_output_pipes(self) -> None:
        while self._output_pipes:
            self._output_pipes.pop().close()


async def probe() -> None:
    """Writes a file and runs a command that does nothing. ResourceShortage if that fails."""
    log_buffer = LogBuffer(UUID(int=0), 0, lambda report: None)
    with contextlib.suppress(AttemptLost, TaskError):
        launcher = await Launcher.start(log_buffer)
        try:
            launcher.place("probe", "").write_bytes(bytes(PROBE))
            await launcher.run(Command(["true"]))
        except OSError as error:
            raise ResourceShortage(f"no command can be started: {shortage_text(error)}", probe) from None
        finally:
            await launcher.stop()
            await launcher.removed()


def _pipe(ours: contextlib.ExitStack, theirs: contextlib.ExitStack) -> tuple[int, int]:
    """A pipe's two ends, each closed with its stack."""
    reads, writes = os.pipe()
    ours.callback(os.close, reads)
    theirs.callback(os.close, writes)
    return reads, writes
