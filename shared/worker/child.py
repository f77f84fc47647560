"""The child process that runs blocking functions, one after the other: `python -m shared.worker.child module:app
PID`, with the number of its parent.

Frames on its standard streams: four bytes of length, then msgpack. What functions print, and their own sub-processes, goes
to stderr, which is a pipe that the parent reads. Ends when its parent does, even if that is killed.
"""

import contextlib
import ctypes
import os
import struct
import sys
from typing import Any, BinaryIO
from uuid import UUID

import msgspec

from shared.contracts.compute import Application
from shared.worker.describe import describe
from shared.worker.functions import Task, encode_outputs, load
from shared.worker.launch import die_with
from shared.worker.subtasks import Made

LENGTH = struct.Struct(">I")


class Call(msgspec.Struct, frozen=True):
    """Run this."""

    function: str
    task: UUID
    attempt: int
    payload: bytes
    inputs: list[bytes]
    outputs: int
    input_ids: list[UUID] = []
    expected: list[UUID] = []
    application: Application | None = None


class Said(msgspec.Struct, frozen=True, tag="progress"):
    fraction: float
    message: str


class Returned(msgspec.Struct, frozen=True, tag="returned"):
    outputs: list[bytes]
    made: Made | None = None


class Raised(msgspec.Struct, frozen=True, tag="raised"):
    message: str


Answer = Said | Returned | Raised
decode_answer = msgspec.msgpack.Decoder(Answer).decode


def frame(message: Any) -> bytes:
    data = msgspec.msgpack.encode(message)
    return LENGTH.pack(len(data)) + data


def _read(source: BinaryIO) -> Call | None:
    head = source.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    return msgspec.msgpack.decode(source.read(length), type=Call)


def main() -> None:
    die_with(int(sys.argv[2]))
    # The streams are ours: a function that prints must not speak into them.
    source, target = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    for stream in (sys.stdout, sys.stderr):  # by the line, as in a terminal: it is seen while the task runs
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    flush_c = ctypes.CDLL(None).fflush
    app = load(sys.argv[1])

    def say(message: Answer) -> None:
        data = memoryview(frame(message))
        while data:
            data = data[target.write(data) :]

    while (call := _read(source)) is not None:
        task = Task(
            call.task, call.attempt, call.payload, call.inputs, call.outputs, lambda f, m: say(Said(f, m)),
            input_ids=call.input_ids, expected=call.expected, application=call.application,
        )  # fmt: skip
        answer: Answer
        try:
            value = app.functions[call.function].call(task)
            answer = Returned(encode_outputs(value, len(task.undelegated), call.function), task.made)
        except Exception as error:
            answer = Raised(describe(error))
        # All that it printed is in the pipe before the answer is in the other one.
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):  # the function may have closed it, or put something else there
                stream.flush()
        flush_c(None)
        say(answer)


if __name__ == "__main__":
    main()
