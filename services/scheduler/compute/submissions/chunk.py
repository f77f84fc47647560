"""Chunks of a submission as they come: what their headers say, and the tasks that their lines are."""

import hashlib
from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec

from services.scheduler.compute.submissions.plan import Lists
from shared.contracts import headers as h
from shared.contracts import ids
from shared.contracts.compute import Options, TaskSpec
from shared.contracts.errors import Invalid
from shared.service.context import Context
from shared.service.decode import MALFORMED, check_texts, check_utf8, invalid

_decode_all = msgspec.json.Decoder(TaskSpec).decode_lines
_decode_line = msgspec.json.Decoder(TaskSpec).decode
_decode_options = msgspec.json.Decoder(Options).decode


class Chunk(msgspec.Struct, frozen=True):
    """One chunk, without its lines.

    number, first   its place among the chunks, and the line of the submission that its first one is; both from 0
    last            no other comes after it
    options         of the submission
    digest          SHA-256 of what it is made of: a repeat has the same
    lists           the lists of inputs that its lines name
    """

    session: UUID
    submission: UUID
    number: int
    first: int
    last: bool
    options: Options | None
    digest: bytes
    lists: Lists

    @property
    def options_text(self) -> str:
        """The options as JSON, as the submission's row has them."""
        return msgspec.json.encode(self.options or Options()).decode()


class WithLists(msgspec.Struct, frozen=True):
    """A request, and the lists of inputs that its tasks name."""

    request: Any
    lists: Lists


def chunk_of(ctx: Context, data: bytes, lists: Lists) -> Chunk:
    """The chunk that a message is. Invalid names the header that is wrong."""

    def read(name: str, kind: Callable[[str], Any]) -> Any:
        text = ctx.headers.get(name, "")
        try:
            return kind(text)
        except (ValueError, msgspec.MsgspecError):
            raise Invalid(f"missing or malformed: {text!r}", field=name) from None

    raw = ctx.headers.get(h.OPTIONS)
    try:
        options = None if raw is None else _decode_options(raw)
    except MALFORMED as error:
        raise Invalid(invalid(error).message, field=h.OPTIONS) from None
    check_texts(options, (raw or "").encode(), h.OPTIONS)
    number, first = read(h.CHUNK, int), read(h.FIRST, int)
    for name, place in ((h.CHUNK, number), (h.FIRST, first)):
        if not 0 <= place < ids.MAX_TASKS:
            raise Invalid(f"chunks and lines are counted from 0 to {ids.MAX_TASKS - 1}", field=name)
    last, digest = ctx.headers.get(h.LAST) == "1", hashlib.sha256(data).digest()
    return Chunk(read(h.SESSION, UUID), read(h.SUBMISSION, UUID), number, first, last, options, digest, lists)


def decode_tasks(data: bytes) -> list[TaskSpec]:
    """The tasks of a chunk, one a line. Invalid names the line as `tasks[<n>]`, n counted within the chunk."""
    specs = _decode_lines(data)
    check_texts(specs, data, "tasks")
    return specs


def _decode_lines(data: bytes) -> list[TaskSpec]:
    try:
        check_utf8(data)
        return _decode_all(data)
    except msgspec.ValidationError as error:
        wrong = invalid(error)
        raise Invalid(wrong.message, field=f"tasks{wrong.field}") from None
    except MALFORMED as whole:
        for number, line in enumerate(data.split(b"\n")):
            try:
                check_utf8(line)
                _decode_line(line)
            except MALFORMED as error:
                raise Invalid(f"not JSON: {invalid(error).message}", field=f"tasks[{number}]") from None
        raise Invalid(f"not JSON: {invalid(whole).message}", field="tasks") from None
