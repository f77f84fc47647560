"""Publishing without a server: what waits is sent again, what is refused says so."""

import asyncio
from typing import Any

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from shared.bus.publish import PubAck, Publisher, encode, stored
from shared.contracts.errors import Internal, TimedOut
from shared.contracts.events import SubmissionMade
from shared.contracts.ids import uuid7


class Wire:
    """A connection that keeps what is published; `answer` answers the n-th."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, str]] = []
        self.is_connected = True
        self.hear: Any = None

    def new_inbox(self) -> str:
        return "_INBOX.x"

    async def subscribe(self, subject: str, cb: Any) -> None:
        self.hear = cb

    async def publish(self, subject: str, data: bytes, reply: str = "", headers: object = None) -> None:
        self.sent.append((subject, data, reply))

    async def answer(self, n: int, data: bytes) -> None:
        await self.hear(Msg(Client(), subject=self.sent[n][2], data=data))


@pytest.fixture
async def wire() -> Wire:
    return Wire()


@pytest.fixture
async def publisher(wire: Wire) -> Any:
    publisher = Publisher(wire)  # type: ignore[arg-type]
    await publisher.start()
    yield publisher
    await publisher.stop()


async def test_acks_find_their_publish(wire: Wire, publisher: Publisher) -> None:
    first, second = await publisher.send("a", b"1"), await publisher.send("b", b"2")
    await wire.answer(1, b'{"stream":"S","seq":7}')
    assert (await second, first.done(), publisher.waiting) == (PubAck("S", 7, False), False, 1)
    await wire.answer(0, b'{"stream":"S","seq":6,"duplicate":true}')
    assert (await first).duplicate
    await wire.answer(0, b'{"stream":"S","seq":6}')  # an ack that comes twice
    assert publisher.waiting == 0


async def test_what_nobody_acknowledged_is_sent_again_in_order(wire: Wire, publisher: Publisher) -> None:
    wire.is_connected = False
    futures = [await publisher.send("a", b"%d" % n) for n in range(3)]
    assert wire.sent == []
    wire.is_connected = True
    assert await publisher.resend() == 3
    assert [data for _, data, _ in wire.sent] == [b"0", b"1", b"2"]
    await wire.answer(1, b"")  # no stream listens yet
    await wire.answer(2, b'{"error":{"code":503}}')
    assert publisher.waiting == 3
    assert await publisher.resend(older_than=60) == 0
    await publisher.resend()
    for n in range(3):
        await wire.answer(3 + n, b'{"stream":"S","seq":%d}' % n)
    assert [(await future).seq for future in futures] == [0, 1, 2]


async def test_a_refused_publish_is_an_error_and_a_silent_one_times_out(wire: Wire, publisher: Publisher) -> None:
    refused = await publisher.send("a", b"x")
    await wire.answer(0, b'{"error":{"code":400,"description":"message size exceeds maximum allowed"}}')
    with pytest.raises(Internal, match="size exceeds"):
        await refused
    silent = await publisher.send("a", b"x")
    with pytest.raises(TimedOut):
        await stored(silent, 0.01)
    assert not silent.cancelled(), "it may still be stored"


async def test_too_many_waiting_make_the_sender_wait(
    wire: Wire, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.bus.publish.MOST_WAITING", 1)
    await publisher.send("a", b"1")
    second = asyncio.create_task(publisher.send("a", b"2"))
    await asyncio.sleep(0)
    assert not second.done()
    await wire.answer(0, b'{"stream":"S","seq":1}')
    await asyncio.wait_for(second, 5)
    assert len(wire.sent) == 2


def test_messages_are_encoded_and_bytes_stay() -> None:
    made = SubmissionMade(uuid7(), uuid7(), 3)
    assert encode(b"raw") == b"raw"
    assert encode(made).startswith(b'{"session":"')
