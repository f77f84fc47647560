"""The stream of poisoned messages: reading it, and sending a message back to where it came from.

Replaying publishes first and deletes afterwards: a kill in between leaves a copy rather than nothing, and handlers are
harmless when they run twice.
"""

import base64
from email.parser import BytesHeaderParser
from typing import Any

import msgspec

from shared.bus.client import Bus
from shared.bus.topology import api
from shared.contracts import headers as h
from shared.contracts.errors import Internal, Invalid, NotFound, Unavailable
from shared.contracts.topology import DEAD
from shared.runtime.log import log

_NOT_FOUND = 10037
_SAMPLE = 2048
"""Bytes of a message's body that a list shows."""


class DeadMessage(msgspec.Struct, frozen=True):
    """`sequence`: its place in DEAD; `subject`, `stream`, `original`: where it was. `body`: its beginning, as text."""

    sequence: int
    stream: str
    subject: str
    original: int
    reason: str
    time: str
    size: int
    body: str


class DeadPage(msgspec.Struct, frozen=True):
    items: list[DeadMessage]
    next: str = ""


class Replayed(msgspec.Struct, frozen=True):
    """`missing`: sequences at which there was nothing (any more)."""

    replayed: list[int]
    missing: list[int] = []


class _Stored(msgspec.Struct, frozen=True):
    seq: int
    time: str
    headers: dict[str, str]
    data: bytes


async def page(bus: Bus, size: int = 100, token: str = "") -> DeadPage:
    """The messages in the order in which they died."""
    if token and not token.isdigit():
        raise Invalid("not a token of this list", field="token")
    items: list[DeadMessage] = []
    at = int(token or 0) + 1
    while len(items) < size:
        found = await _get(bus, {"seq": at, "next_by_subj": DEAD.subjects[0]})
        if found is None:
            return DeadPage(items)
        items.append(_shown(found))
        at = found.seq + 1
    return DeadPage(items, str(at - 1))


async def replay(bus: Bus, sequences: list[int]) -> Replayed:
    """Publishes messages again where they were, and takes them out of DEAD."""
    replayed, missing = [], []
    for sequence in dict.fromkeys(sequences):
        found = await _get(bus, {"seq": sequence})
        if found is None:
            missing.append(sequence)
            continue
        subject = found.headers.get(h.DEAD_SUBJECT, "")
        if not subject.startswith("hr.") or subject.startswith("hr.dead."):
            raise Invalid(f"message {sequence} does not say where it was", field="sequences")
        kept = {key: value for key, value in found.headers.items() if not key.startswith(("Nats-", "Hr-Dead-"))}
        await bus.publish(subject, found.data, headers=kept or None)
        await _ok(bus, f"STREAM.MSG.DELETE.{DEAD.name}", {"seq": sequence, "no_erase": True})
        log.info("dead.replayed", sequence=sequence, subject=subject)
        replayed.append(sequence)
    return Replayed(replayed, missing)


async def replay_all(bus: Bus) -> Replayed:
    """All that are there now; those that die meanwhile again are not taken twice."""
    last = int((await _ok(bus, f"STREAM.INFO.{DEAD.name}"))["state"]["last_seq"])
    replayed: list[int] = []
    token, more = "", True
    while more:
        found = await page(bus, 100, token)
        now = [item.sequence for item in found.items if item.sequence <= last]
        replayed += (await replay(bus, now)).replayed
        token, more = found.next, bool(found.next) and len(now) == len(found.items)
    return Replayed(replayed)


def _shown(found: _Stored) -> DeadMessage:
    told = found.headers
    return DeadMessage(
        sequence=found.seq,
        stream=told.get(h.DEAD_STREAM, ""),
        subject=told.get(h.DEAD_SUBJECT, ""),
        original=int(told.get(h.DEAD_SEQUENCE, "0")),
        reason=told.get(h.DEAD_REASON, ""),
        time=found.time,
        size=len(found.data),
        body=found.data[:_SAMPLE].decode("utf-8", "replace"),
    )


async def _get(bus: Bus, body: dict[str, Any]) -> _Stored | None:
    answer = await api(bus, f"STREAM.MSG.GET.{DEAD.name}", body)
    if answer.get("error", {}).get("err_code") == _NOT_FOUND:
        return None
    message = _checked(answer)["message"]
    return _Stored(
        message["seq"], message["time"], _headers(message.get("hdrs", "")), base64.b64decode(message.get("data", ""))
    )


def _headers(encoded: str) -> dict[str, str]:
    """NATS's header block: a version line, then fields as in mail."""
    _, _, block = base64.b64decode(encoded).partition(b"\r\n")
    return dict(BytesHeaderParser().parsebytes(block).items())


async def _ok(bus: Bus, verb: str, body: object = None) -> dict[str, Any]:
    return _checked(await api(bus, verb, body))


def _checked(answer: dict[str, Any]) -> dict[str, Any]:
    if error := answer.get("error"):
        code = error.get("code")
        kind = NotFound if code == 404 else Unavailable if code == 503 else Internal
        raise kind(f"stream {DEAD.name}: {error.get('description')}")
    return answer
