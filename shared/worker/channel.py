"""The worker's end of the channel to a child process: one call at a time, and nothing but its answer comes back."""

import asyncio
import os
from collections.abc import Callable
from typing import Any

import msgspec

from shared.worker.child_protocol import (
    ANSWER,
    CALL,
    HEAD,
    LIMIT,
    PROGRESS,
    READY,
    Answer,
    Call,
    decode_answer,
    decode_stage,
    frame,
)

FLOOD = 100
"""Frames in one read after which nothing is read for `PAUSE` seconds, so that a function that reports without end leaves time to others."""
PAUSE = 0.02


class ChannelClosed(Exception):
    """The child has closed the channel."""


class ProtocolError(Exception):
    """Something else than the answer has come: the child is not used any more."""


class Channel(asyncio.Protocol):
    """One end of the socket to a child. `usable`: a call can be made. `ready`: done when the child has loaded the functions."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._loop, self._buffer = loop, bytearray()
        self._transport: Any = None
        self._nonce = 0
        self._answer: asyncio.Future[Answer] | None = None
        self._progress: Callable[[float, str], None] = _ignore
        self.ready: asyncio.Future[None] = loop.create_future()
        self.usable = False

    async def call(self, call: Call, progress: Callable[[float, str], None]) -> Answer:
        """Sends a call and returns its answer; ChannelClosed or ProtocolError otherwise. `progress` gets what the function reports."""
        self._nonce = int.from_bytes(os.urandom(8)) or 1
        self._progress = progress
        self._answer = self._loop.create_future()
        self._transport.write(frame(self._nonce, CALL, call))
        try:
            return await self._answer
        finally:
            self._nonce, self._progress, self._answer = 0, _ignore, None

    @property
    def buffered(self) -> int:
        """Bytes of a frame that has not arrived whole."""
        return len(self._buffer)

    def close(self) -> None:
        """Ends the connection at once; a call that waits gets ChannelClosed."""
        self._transport.abort()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(ChannelClosed())

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        if not buffer and self._is_answer(data):
            return
        buffer += data
        at = frames = 0
        stage = b""
        try:
            while len(buffer) - at >= HEAD.size:
                nonce, kind, length = HEAD.unpack_from(buffer, at)
                self._check(nonce, kind, length)
                begin = at + HEAD.size
                if len(buffer) < begin + length:
                    break
                at, frames = begin + length, frames + 1
                if kind == PROGRESS:  # the last one of a piece is enough
                    stage = bytes(buffer[begin:at])
                    continue
                with memoryview(buffer) as view, view[begin:at] as body:  # it may be large
                    self._take(kind, body, stage)
                stage = b""
            if stage:
                self._report(stage)
        except (ProtocolError, msgspec.MsgspecError) as error:
            self._fail(error if isinstance(error, ProtocolError) else ProtocolError(str(error)))
            return
        del buffer[:at]
        if frames > FLOOD:
            self._transport.pause_reading()
            self._loop.call_later(PAUSE, self._resume)

    def _is_answer(self, data: bytes) -> bool:
        """Handles data that is exactly one frame with the answer, the usual case. Returns whether it was."""
        if len(data) < HEAD.size:
            return False
        nonce, kind, length = HEAD.unpack_from(data)
        if kind != ANSWER or nonce != self._nonce or not nonce or length != len(data) - HEAD.size:
            return False
        try:
            self._take(kind, data[HEAD.size :], b"")
        except msgspec.MsgspecError as error:
            self._fail(ProtocolError(str(error)))
        return True

    def _check(self, nonce: int, kind: int, length: int) -> None:
        """Checks a header before its body has come: it is of this call, and not too long. ProtocolError otherwise."""
        if not self.ready.done():
            if (nonce, kind, length) != (0, READY, 0):
                raise ProtocolError("something before it was ready")
        elif not self._nonce or nonce != self._nonce:
            raise ProtocolError("something that is not of this call")
        elif kind not in (PROGRESS, ANSWER) or length > LIMIT:
            raise ProtocolError(f"a frame of the kind {kind} with {length} bytes")

    def _take(self, kind: int, body: bytes | memoryview, stage: bytes) -> None:
        if kind == READY:
            self.ready.set_result(None)
            self.usable = True
            return
        if stage:
            self._report(stage)
        answer = decode_answer(body)
        self._nonce = 0
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    def _report(self, body: bytes) -> None:
        stage = decode_stage(body)
        self._progress(stage.fraction, stage.message)

    def _fail(self, error: Exception) -> None:
        self.usable = False
        self._transport.abort()
        for future in (self.ready, self._answer):
            if future is not None and not future.done():
                future.set_exception(error)
                future.exception()  # nobody may be waiting for it

    def _resume(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()


def _ignore(fraction: float, message: str) -> None:
    """Progress that comes while no call runs."""
