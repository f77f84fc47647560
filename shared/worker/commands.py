"""Tasks of the function `exec`: a command, with the task's inputs as files before it and its outputs as files after it."""

import asyncio
import contextlib
import os
import signal
import stat
import tempfile
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import BinaryIO, NoReturn
from uuid import UUID

import msgspec

from shared.contracts.compute import Value
from shared.contracts.errors import Internal, Invalid
from shared.contracts.work import Command, Output
from shared.objects.inline import fits, keep, keep_stream
from shared.objects.layout import check_key
from shared.objects.port import Objects
from shared.worker.children import AttemptLost
from shared.worker.error_text import TaskError
from shared.worker.launch import SCARCE
from shared.worker.launcher import STREAM, Launcher, probe
from shared.worker.line_process import signal_name
from shared.worker.log_buffer import LogBuffer
from shared.worker.shortage import ResourceShortage, shortage_text

PIECE = 4 * 1024 * 1024
"""Bytes of an output that are read in one go."""
_HINTS = {
    int(signal.SIGXCPU): ": it used more than its cpu_seconds",
    int(signal.SIGXFSZ): ": it wrote more than its file_bytes",
}
_decode = msgspec.json.Decoder(Command).decode


class Commands:
    """Where commands run: folders in the TMPDIR of this process, each gone soon after its task has ended."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._removals: set[asyncio.Task[None]] = set()

    async def run(
        self,
        payload: bytes,
        values: Sequence[Value],
        session: UUID,
        outputs: Sequence[UUID],
        log_buffer: LogBuffer,
        room: int,
    ) -> list[Output]:
        """Runs a command; its outputs, stored, at most `room` bytes of them inline.

        TaskError, AttemptLost, ResourceShortage, or an error of the storage.

        When it returns, or is cancelled, no process of the command lives any more.
        """
        command = parse(payload, len(values), len(outputs))
        _check_room(values)
        launcher = await Launcher.start(log_buffer)
        try:
            for name, value in zip(command.inputs, values, strict=True):
                await self._stage(name, launcher.place(name, "stdin"), value)
            status = await launcher.run(command)
            if status:
                raise TaskError(_ending(status, launcher.stderr_tail()))
            files = [_found(launcher, name) for name in command.outputs]
            kept = []
            for result, (path, size) in zip(outputs, files, strict=True):
                room -= size if fits(size) else 0
                kept.append(await self._keep(session, result, path, size, ride=fits(size) and room >= 0))
            return kept
        finally:
            removal = asyncio.create_task(launcher.removed())
            self._removals.add(removal)
            removal.add_done_callback(self._removals.discard)
            await launcher.stop()

    async def close(self) -> None:
        """Waits until all folders are gone."""
        await asyncio.gather(*self._removals)

    async def _stage(self, name: str, path: Path, value: Value) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                if value.data is not None:
                    file.write(value.data)
                elif value.object is None:
                    raise Internal(f"the value of result {value.id} lies nowhere")
                else:
                    async with contextlib.aclosing(self._objects.get(value.object)) as pieces:
                        async for piece in pieces:
                            await asyncio.to_thread(file.write, piece)
        except OSError as error:
            _raise_for(error, f"the input {name!r} cannot lie there: {error.strerror}")

    async def _keep(self, session: UUID, result: UUID, path: Path, size: int, *, ride: bool) -> Output:
        with _opened(path) as file:
            if ride or not size:
                return await keep(self._objects, session, result, file.read())
            async with contextlib.aclosing(_pieces(file)) as pieces:
                return await keep_stream(self._objects, session, result, pieces, size=size)


def parse(payload: bytes, inputs: int, outputs: int) -> Command:
    """The command, if it fits a task with so many inputs and outputs; TaskError otherwise, with the field."""
    try:
        command = _decode(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise TaskError(f"its payload is not a command: {error}") from None
    if not command.command or not command.command[0]:
        raise TaskError("command: a program is needed")
    words = [*command.command, *command.env, *command.env.values()]
    if any("\x00" in word for word in words) or any(not name or "=" in name for name in command.env):
        raise TaskError("command, env: no NUL; the name of a variable has no = and is not empty")
    for field, names, count in (("inputs", command.inputs, inputs), ("outputs", command.outputs, outputs)):
        if len(names) != count:
            raise TaskError(f"{field}: it names {len(names)} files, the task has {count} {field}")
        if len(set(names)) < count:
            raise TaskError(f"{field}: two have the same name")
        for name in names:
            try:
                check_key(name) if name != STREAM else None
            except Invalid as error:
                raise TaskError(f"{field}: {name!r}: {error}") from None
    return command


def _check_room(values: Sequence[Value]) -> None:
    """AttemptLost, which counts, if the inputs do not fit an empty disk: a task that is given back would fill it again and again."""
    needed = sum(value.size for value in values)
    with contextlib.suppress(OSError):  # who starts the launcher finds out
        disk = os.statvfs(tempfile.gettempdir())
        if needed > (room := disk.f_blocks * disk.f_frsize):
            raise AttemptLost(f"its inputs have {needed} bytes together, and the disk of this worker has {room}")


def _found(launcher: Launcher, name: str) -> tuple[Path, int]:
    """The file of an output, and its size. A link that leads out of the folder, or a pipe, is none."""
    path = launcher.place(name, "stdout")
    try:
        seen = path.lstat()
    except OSError:
        raise TaskError(f"the command has not made its output {name!r}") from None
    if not stat.S_ISREG(seen.st_mode) or os.path.realpath(path.parent) != str(path.parent):
        raise TaskError(f"the output {name!r} is not a file")
    return path, seen.st_size


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        _raise_for(error, f"the output {path.name!r} cannot be read: {error.strerror}")


async def _pieces(file: BinaryIO) -> AsyncGenerator[bytes, None]:
    while piece := await asyncio.to_thread(file.read, PIECE):
        yield piece


def _ending(status: int, last: str) -> str:
    text = f"the command ended with status {status}"
    if status < 0:
        text = f"the command was killed by {signal_name(-status)}{_HINTS.get(-status, '')}"
    return f"{text}\n{last}" if last else text


def _raise_for(error: OSError, text: str) -> NoReturn:
    if error.errno in SCARCE:
        raise ResourceShortage(shortage_text(error), probe) from None
    raise TaskError(text) from None
