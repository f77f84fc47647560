"""What passes between a worker and a child process that runs its blocking functions: frames, each a header and msgpack.

The header has the nonce of the call, the kind of frame, and how many bytes follow. The nonce is drawn by the worker for each
call: what carries another is not the answer to it, and the worker ends that process.
"""

import struct
from typing import Any, Final
from uuid import UUID

import msgspec

from shared.contracts.compute import Application
from shared.worker.subtasks import Creations

HEAD: Final = struct.Struct(">QBI")
READY, CALL, PROGRESS, ANSWER = range(4)
"""Kinds. `READY`, of the nonce 0, has no body: the child has loaded the functions."""
LIMIT: Final = 256 * 1024 * 1024
"""Most bytes of a frame from the child, and so of all that a blocking function returns."""
CLOSED: Final = 120
"""Exit status of a child whose function has closed the channel."""


class Call(msgspec.Struct, frozen=True):
    """One call of a function, to the child."""

    function: str
    task: UUID
    attempt: int
    payload: bytes
    inputs: list[bytes]
    outputs: int
    input_ids: list[UUID] = []
    expected: list[UUID] = []
    application: Application | None = None


class Stage(msgspec.Struct, frozen=True):
    """The progress of a task."""

    fraction: float
    message: str


class Returned(msgspec.Struct, frozen=True, tag="returned"):
    """The function has returned. `left`: what it has left behind in its process, in words; nothing else may run there then."""

    outputs: list[bytes]
    creations: Creations | None = None
    left: str = ""


class Raised(msgspec.Struct, frozen=True, tag="raised"):
    """The function has raised. `left` as in `Returned`."""

    message: str
    left: str = ""


Answer = Returned | Raised
decode_call = msgspec.msgpack.Decoder(Call).decode
decode_stage = msgspec.msgpack.Decoder(Stage).decode
decode_answer = msgspec.msgpack.Decoder(Answer).decode


def frame(nonce: int, kind: int, message: Any) -> bytes:
    """The bytes of a frame: header, and `body` as msgpack."""
    data = msgspec.msgpack.encode(message)
    return HEAD.pack(nonce, kind, len(data)) + data
