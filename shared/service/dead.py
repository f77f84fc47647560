"""The stream of poisoned messages: reading it, and sending a message back to where it came from.

Replaying publishes first and deletes afterwards: a kill in between leaves a copy rather than nothing, and handlers are
harmless when they run twice.

What a dead letter says of itself is its writer's word, and is replayed with the gateway's rights. Only its own subject is
bound to who wrote it (`hr.dead.<stream>.<source>`): it goes back to a subject of that stream that somebody takes, or nowhere.
One that was too large to be kept whole stays where it is.
"""

import base64
import re
from email.parser import BytesHeaderParser
from typing import Any

import msgspec

from shared.bus.client import Bus
from shared.bus.topology import api
from shared.contracts import headers as h
from shared.contracts.errors import Internal, Invalid, NotFound, Unavailable
from shared.contracts.topology import DEAD, STREAMS, TASKS, worker_consumer
from shared.runtime.log import log

_NOT_FOUND = 10037
_NO_SUCH = 404
_SAMPLE = 2048
"""Bytes of a message's body that a list shows."""
_SUBJECT = re.compile(r"[\w-]+(\.[\w-]+)*", re.ASCII)
_DROPPED = ("nats-", "hr-dead-", *(name.lower() for name in (h.DELEGATION, h.GRANT, *h.BARE)))
"""Beginnings of headers, in lower case, that are not sent back: the bus's, ours, and claims of who asks."""
_ORIGINS = {
    stream.name.lower(): (worker_consumer("*").filter,)
    if stream is TASKS
    else tuple(c.filter for c in stream.consumers)
    for stream in STREAMS
    if stream.retention == "workqueue"
}
"""Where messages go back to: subjects that some consumer takes."""


class DeadMessage(msgspec.Struct, frozen=True):
    """A poisoned message.

    sequence                    its place in DEAD
    subject, stream, original   where it was, as its writer says: subject, stream, sequence there
    reason                      why it was put into DEAD
    time                        when; RFC 3339
    size                        bytes that its body had
    body                        the beginning of the body, as text
    replayable                  whether it is whole, and `subject` is one to which it may go back
    """

    sequence: int
    stream: str
    subject: str
    original: int
    reason: str
    time: str
    size: int
    body: str
    replayable: bool = True


class DeadPage(msgspec.Struct, frozen=True):
    """A page of DEAD. `next`: the token of the next page, empty after the last one."""

    items: list[DeadMessage]
    next: str = ""


class Replayed(msgspec.Struct, frozen=True):
    """`missing`: sequences at which there was nothing (any more); `refused`: of messages that are not replayable."""

    replayed: list[int]
    missing: list[int] = []
    refused: list[int] = []


class _Stored(msgspec.Struct, frozen=True):
    seq: int
    subject: str
    time: str
    headers: dict[str, str]
    data: bytes


async def page(bus: Bus, size: int = 100, token: str = "") -> DeadPage:
    """A page of DEAD, in the order in which the messages died. `token`: of the page, empty for the first one."""
    if token and not re.fullmatch(r"[0-9]{1,18}", token):
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
    """Publishes messages again where they were, and deletes them from DEAD. Invalid if one of them may not go back.

    `sequences`: their places in DEAD.
    """
    done = await _replay(bus, sequences)
    if done.refused:
        raise Invalid(
            f"not replayable, as they are not whole, or name no subject of their stream that somebody takes: {done.refused}; "
            f"replayed: {done.replayed}",
            field="sequences",
        )
    return done


async def _replay(bus: Bus, sequences: list[int]) -> Replayed:
    replayed, missing, refused = [], [], []
    for sequence in dict.fromkeys(sequences):
        found = await _get(bus, {"seq": sequence})
        if found is None:
            missing.append(sequence)
            continue
        subject = _origin(found)
        if subject is None or not await _is_taken(bus, subject):
            refused.append(sequence)
            continue
        kept = {key: value for key, value in found.headers.items() if not key.lower().startswith(_DROPPED)}
        await bus.publish(subject, found.data, headers=kept or None)
        await _ok(bus, f"STREAM.MSG.DELETE.{DEAD.name}", {"seq": sequence, "no_erase": True})
        log.info("dead.replayed", sequence=sequence, subject=subject)
        replayed.append(sequence)
    return Replayed(replayed, missing, refused)


async def replay_all(bus: Bus) -> Replayed:
    """Replays all messages that are in DEAD now and may go back; one that dies again meanwhile is not taken twice."""
    last = int((await _ok(bus, f"STREAM.INFO.{DEAD.name}"))["state"]["last_seq"])
    replayed: list[int] = []
    refused: list[int] = []
    token, more = "", True
    while more:
        found = await page(bus, 100, token)
        now = [item.sequence for item in found.items if item.sequence <= last]
        done = await _replay(bus, now)
        replayed += done.replayed
        refused += done.refused
        token, more = found.next, bool(found.next) and len(now) == len(found.items)
    return Replayed(replayed, refused=refused)


def _origin(found: _Stored) -> str | None:
    """Where a message goes back to; None if it is not whole, or names no subject of the stream whose dead letter it is."""
    if h.DEAD_SIZE in found.headers:
        return None
    subject = found.headers.get(h.DEAD_SUBJECT, "")
    patterns = _ORIGINS.get(found.subject.split(".")[2], ())
    return subject if _SUBJECT.fullmatch(subject) and any(_covers(each, subject) for each in patterns) else None


async def _is_taken(bus: Bus, subject: str) -> bool:
    """False for tasks of a partition that is gone: nobody would ever take them from the stream."""
    if not subject.startswith(TASKS.subjects[0].rstrip(">")):
        return True
    consumer = worker_consumer(subject.split(".")[2]).name
    answer = await api(bus, f"CONSUMER.INFO.{TASKS.name}.{consumer}")
    if answer.get("error", {}).get("code") == _NO_SUCH:
        return False
    _checked(answer)
    return True


def _covers(pattern: str, subject: str) -> bool:
    expected, given = pattern.split("."), subject.split(".")
    if expected[-1] == ">":
        expected = expected[:-1]
        given = given[: len(expected)] if len(given) > len(expected) else []
    return len(expected) == len(given) and all(e in ("*", g) for e, g in zip(expected, given, strict=True))


def _shown(found: _Stored) -> DeadMessage:
    headers = found.headers
    original, size = headers.get(h.DEAD_SEQUENCE, ""), headers.get(h.DEAD_SIZE, "")
    return DeadMessage(
        sequence=found.seq,
        stream=headers.get(h.DEAD_STREAM, ""),
        subject=headers.get(h.DEAD_SUBJECT, ""),
        original=int(original) if re.fullmatch(r"[0-9]{1,19}", original) else 0,
        reason=headers.get(h.DEAD_REASON, ""),
        time=found.time,
        size=int(size) if re.fullmatch(r"[0-9]{1,12}", size) else len(found.data),
        body=found.data[:_SAMPLE].decode("utf-8", "replace"),
        replayable=_origin(found) is not None,
    )


async def _get(bus: Bus, body: dict[str, Any]) -> _Stored | None:
    answer = await api(bus, f"STREAM.MSG.GET.{DEAD.name}", body)
    if answer.get("error", {}).get("err_code") == _NOT_FOUND:
        return None
    message = _checked(answer)["message"]
    return _Stored(
        message["seq"],
        message["subject"],
        message["time"],
        _headers(message.get("hdrs", "")),
        base64.b64decode(message.get("data", "")),
    )


def _headers(encoded: str) -> dict[str, str]:
    """NATS's header block: a version line, then fields as in mail."""
    _, _, block = base64.b64decode(encoded).partition(b"\r\n")
    # Values that are not ASCII come as objects of the parser's own.
    return {key: str(value) for key, value in BytesHeaderParser().parsebytes(block).items()}


async def _ok(bus: Bus, verb: str, body: object = None) -> dict[str, Any]:
    return _checked(await api(bus, verb, body))


def _checked(answer: dict[str, Any]) -> dict[str, Any]:
    if error := answer.get("error"):
        code = error.get("code")
        kind = NotFound if code == 404 else Unavailable if code == 503 else Internal
        raise kind(f"stream {DEAD.name}: {error.get('description')}")
    return answer
