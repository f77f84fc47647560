"""Submissions: one JSON body in one request, or newline-delimited JSON of any length, streamed on in chunks.

Up to four chunks are under way at once; the last one goes out when all others were answered, because it is what makes the
submission visible. A client that hangs up, or a chunk that is refused, means that the last one is never sent: nothing becomes
visible, and the scheduler's sweeper removes what had arrived.
"""

import asyncio
import hashlib
import re
from typing import Annotated, Final
from uuid import UUID

import msgspec

from services.gateway.compute.chunks import Chunk, Cutter
from services.gateway.http.errors import UnsupportedMedia, invalid
from services.gateway.http.reply import Reply
from services.gateway.http.request import Call
from services.gateway.http.route import passed_on
from shared.contracts import headers as h
from shared.contracts.compute import Options, SubmissionCreate, TaskSpec
from shared.contracts.errors import HeadraceError, Invalid
from shared.contracts.ids import is_submission, submission_id
from shared.contracts.topology import MESSAGE_LIMIT

NDJSON: Final = "application/x-ndjson"
UNDER_WAY: Final = 4
_PATIENCE: Final = 60.0
_HINT: Final = f"; send longer submissions as {NDJSON}, one task a line"
_TASK = re.compile(r"^tasks\[(-?\d+)\]")


class SubmissionBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The tasks of a submission, in order; `options` hold for all of them."""

    tasks: Annotated[list[TaskSpec], msgspec.Meta(min_length=1)]
    options: Options | None = None


class SubmissionQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`id`: the caller's own (a UUIDv7 whose low 33 bits are zero). `options`: Options as JSON text."""

    session: UUID
    id: UUID | None = None
    options: str = ""


async def submit(call: Call) -> Reply:
    """POST /compute/v1/sessions/{session}/submissions"""
    asked = call.asked(SubmissionQuery)
    media = call.header(b"content-type").partition(";")[0].strip().lower()
    name = _name(call, asked)
    if media == NDJSON:
        options = _options(asked.options or call.header(b"hr-options"))
        return await Sending(call, asked.session, name, options).run()
    if media not in ("", "application/json"):
        raise UnsupportedMedia(f"{media!r} is not taken here; application/json or {NDJSON} is", field="Content-Type")
    body = await call.json(SubmissionBody, MESSAGE_LIMIT, _HINT)
    options_text = asked.options or call.header(b"hr-options")
    options_said = msgspec.json.decode(_options(options_text), type=Options) if options_text else body.options
    message = SubmissionCreate(asked.session, body.tasks, name, options_said)
    return await passed_on(call, "submission.create", message, 201)


def _name(call: Call, asked: SubmissionQuery) -> UUID:
    """The submission's id: given, or following from the idempotency key, or new."""
    if asked.id is not None:
        if not is_submission(asked.id):
            raise Invalid("a UUIDv7 whose low 33 bits are zero is expected", field="id")
        return asked.id
    if key := call.key:
        assert call.caller is not None
        return keyed_id(call.caller.user, asked.session, key)
    return submission_id()


def keyed_id(user: str, session: UUID, key: str) -> UUID:
    """The id that a key stands for. The session's time leads, so that the rows lie near the session's others."""
    seed = hashlib.sha256(f"{user}\0{session}\0{key}".encode()).digest()
    chance = int.from_bytes(seed, "big")
    milliseconds = session.int >> 80 & (1 << 48) - 1
    high = milliseconds << 80 | 7 << 76 | (chance & 0xFFF) << 64
    return UUID(int=high | 2 << 62 | (chance >> 12 & (1 << 29) - 1) << 33)


def _options(text: str) -> str:
    """Options as JSON text, checked, on one line; empty as it is."""
    if not text:
        return ""
    try:
        # Escaped to ASCII: it travels as a header.
        options = msgspec.json.decode(text, type=Options)
    except msgspec.ValidationError as error:
        raise Invalid(str(error), field=f"options.{invalid(error, where='').field}".rstrip(".")) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Invalid(f"not JSON: {error}", field="options") from None
    plain = msgspec.json.encode(options).decode()
    return "".join(c if c.isascii() else _escaped(c) for c in plain)


def _escaped(character: str) -> str:
    return "".join(f"\\u{unit:04x}" for unit in memoryview(character.encode("utf-16-le")).cast("H"))


class Sending:
    """One body on its way to the scheduler."""

    def __init__(self, call: Call, session: UUID, name: UUID, options: str) -> None:
        self._call = call
        self._headers = {h.SESSION: str(session), h.SUBMISSION: str(name)}
        if options:
            self._headers[h.OPTIONS] = options
        self._tasks: set[asyncio.Task[msgspec.Raw]] = set()

    async def run(self) -> Reply:
        cutter = Cutter()
        try:
            async for data in self._call.chunks():
                for chunk in cutter.feed(data):
                    await self._hand_over(chunk)
            last = cutter.finish()
            if self._tasks:
                await self._settle(asyncio.ALL_COMPLETED)
            return Reply(bytes(await self._send(last, last=True)), 201)
        finally:
            for task in self._tasks:
                task.cancel()

    async def _hand_over(self, chunk: Chunk) -> None:
        """Sends a chunk; waits while too many are under way, and so keeps the client waiting."""
        while len(self._tasks) >= UNDER_WAY:
            await self._settle(asyncio.FIRST_COMPLETED)
        task = asyncio.create_task(self._send(chunk))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # looked at, whoever is left to care
        self._tasks.add(task)

    async def _settle(self, until: str) -> None:
        done, self._tasks = await asyncio.wait(self._tasks, return_when=until)
        for task in done:
            task.result()

    async def _send(self, chunk: Chunk, *, last: bool = False) -> msgspec.Raw:
        headers = self._headers | {h.CHUNK: str(chunk.number), h.FIRST: str(chunk.first)}
        if last:
            headers[h.LAST] = "1"
        try:
            return await self._call.scheduler(
                "submission.chunk", chunk.data, msgspec.Raw, headers=headers, timeout=_PATIENCE
            )
        except HeadraceError as error:
            raise placed(error, chunk.first) from None


def placed(error: HeadraceError, first: int) -> HeadraceError:
    """The error with the line counted from the start of the body, not of the chunk."""
    if first and (found := _TASK.match(error.field)):
        field = f"tasks[{int(found[1]) + first}]{error.field[found.end() :]}"
        return type(error)(error.message, field=field)
    return error
