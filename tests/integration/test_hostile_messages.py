"""Messages that a user may send and no client library would: each is answered or refused, and nobody is deaf afterwards."""

import asyncio
from urllib.parse import urlsplit

import msgspec
import pytest
from nats.aio.msg import Msg

from services.gateway.events.watch_endpoint import WatchEndpoint
from shared.bus.connection import LARGEST_HEADERS
from shared.contracts import subjects
from shared.contracts.events import CommandRejected
from shared.service.middleware import poison
from shared.service.policy import Policy
from tests.support.bus_rig import connected, open_bench
from tests.support.databases import Database
from tests.support.servers import Servers, settled
from tests.support.wait import LIMIT, wait_until

SAY = subjects.command("alice", "archiver", "word", "say").encode()
WATCH = subjects.watch("alice", "session").encode()
BODY = b'{"text": "x"}'
MANY = b"NATS/1.0\r\n" + b"a: b\r\n" * 100_000 + b"\r\n"
KEY = b"NATS/1.0\r\nIdempotency-Key: %s\r\n\r\n"


def plain(subject: bytes, body: bytes = BODY) -> bytes:
    return b"PUB %s %d\r\n%s\r\n" % (subject, len(body), body)


def with_headers(headers: bytes, subject: bytes = SAY, body: bytes = BODY) -> bytes:
    return b"HPUB %s %d %d\r\n%s%s\r\n" % (subject, len(headers), len(headers) + len(body), headers, body)


REFUSED = {
    "no UTF-8 in the subject": plain(SAY + b".\xff"),
    "a form feed in the subject": plain(SAY + b".a\x0cb"),
    "a vertical tab in the subject": plain(SAY + b".\x0b"),
    "a NUL in the subject": plain(SAY + b".\x00"),
    "a very long subject": plain(SAY + b"." + b"x" * 3500),
    "one token": plain(b"hr.cmd.alice.archiver.x"),
    "a long key": with_headers(KEY % (b"k" * 300)),
    "lone bytes in the key": with_headers(KEY % b"k\xff\xfe"),
    "a NUL in the key": with_headers(KEY % b"k\x00k"),
    "not JSON": plain(SAY, b"\x00\x01"),
    "not UTF-8": plain(SAY, b'{"text": "\xff"}'),
    "nested too deep": plain(SAY, b"[" * 500_000),
    "a megabyte": plain(SAY, b'{"text": 1, "x": "%s"}' % (b"x" * 1_000_000)),
}
DONE = {
    "a forged status": with_headers(b"NATS/1.0 503\r\n\r\n"),
    "a forged end of a pull": with_headers(b"NATS/1.0 409 Consumer Deleted\r\n\r\n"),
    "another's name": with_headers(b"NATS/1.0\r\nHr-User: admin\r\n\r\n"),
    "headers with lone bytes": with_headers(b"NATS/1.0\r\nx\xff: \xfe\r\ny: \xff\r\n\r\n"),
    "a header without a name": with_headers(b"NATS/1.0\r\n: x\r\nno colon\r\n\r\n"),
}
EITHER = {
    "a description that is no text": with_headers(b"NATS/1.0 100 \xff\r\n\r\n"),
    "a status that is no text": with_headers(b"NATS/1.0 \xff\xff\xff\r\n\r\n"),
    "headers cut short": with_headers(b"abc"),
    "a version alone": with_headers(b"NATS/1.0"),
}
"""The server adds a header of its own, after which they can be read."""
REQUESTS = {
    "100,000 headers": with_headers(MANY, WATCH),
    "a header of 200 KB": with_headers(KEY % (b"k" * 200_000), WATCH),
    **{name: frame.replace(SAY, WATCH, 1) for name, frame in (REFUSED | DONE | EITHER).items() if SAY in frame},
}
"""What the gateway reads. A stream takes no more than 64 KiB of headers."""


async def alice_by_hand(nats: Servers) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that a client library would not make."""
    at = urlsplit(nats.nats_url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    login = {"headers": True, "no_responders": True, "user": "alice", "pass": nats.nats_logins["alice"]}
    writer.write(b"CONNECT " + msgspec.json.encode(login) + b"\r\n")
    return reader, writer


async def test_every_accepted_command_has_an_outcome_and_the_service_hears_on(
    nats: Servers, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poison, "ATTEMPTS", 2)
    assert len(MANY) > LARGEST_HEADERS
    async with open_bench(nats, database) as bench, connected(nats, "gateway") as gateway:
        await bench.start()
        watchers = WatchEndpoint(gateway, Policy())
        await watchers.start()
        _, writer = await alice_by_hand(nats)
        for frame in (*(REFUSED | DONE | EITHER).values(), *REQUESTS.values()):
            writer.write(frame)
            await writer.drain()
        jetstream = bench.bus.nc.jetstream()

        async def carried_out() -> bool:
            state = (await jetstream.stream_info("COMMANDS")).state
            return state.last_seq == len(REFUSED | DONE | EITHER) and state.messages == 0

        async def shown() -> object:
            return [(event.subject, event.data[:200]) for event in await bench.events()]

        await wait_until(carried_out, on_timeout=shown)
        outcomes = {
            int(event.subject.rpartition(".")[2]): event.subject.split(".")[3]
            for event in await bench.events()
            if event.subject.startswith("hr.evt.command.")
        }
        # In the order in which they were sent, which is that of the stream.
        found = {name: outcomes.get(number) for number, name in enumerate(REFUSED | DONE | EITHER, 1)}
        assert [(name, found[name]) for name in REFUSED if found[name] != "rejected"] == []
        assert [name for name in DONE if found[name] != "done"] == []
        assert [name for name in EITHER if found[name] is None] == []
        assert [bus.nc.stats["reconnects"] for bus in (bench.bus, gateway)] == [0, 0]

        alice = await nats.connect("alice")
        assert "Nats-Service-Error-Code" in ((await alice.request(WATCH.decode(), b"{}", timeout=LIMIT)).headers or {})
        await alice.close()
        writer.close()
        await writer.wait_closed()
        await watchers.stop()
        await bench.service.stop()


async def test_a_command_that_fails_in_an_unexpected_way_has_an_outcome_too(
    nats: Servers, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poison, "ATTEMPTS", 2)
    async with open_bench(nats, database) as bench, connected(nats, "alice", topology=False) as alice:
        await bench.start()
        ack = await alice.publish(SAY.decode(), b'{"text": "surprise"}')

        async def outcome() -> CommandRejected | None:
            for event in await bench.events():
                if event.subject == subjects.event("command", "rejected", ack.seq):
                    return msgspec.json.decode(event.data, type=CommandRejected)
            return None

        rejected = await wait_until(outcome)
        assert rejected is not None
        assert (rejected.error.code, bool(rejected.error.trace)) == ("internal", True)
        assert "secret" not in rejected.error.message
        await bench.service.stop()


async def test_an_answer_goes_to_an_inbox_or_nowhere(nats: Servers, database: Database) -> None:
    """The second wall: in the services' own account nobody's reply subject is a lever either."""
    async with open_bench(nats, database) as bench:
        await bench.start()
        admin, echo = await nats.connect(), subjects.rpc("archiver", "word", "echo")
        taken: list[str] = []

        async def hear(message: object) -> None:
            taken.append(getattr(message, "subject"))  # noqa: B009

        levers = ("hr.evt.a.b.c", "hr.cmd.admin.archiver.word.say", "hr.report.default", "hr.step.archiver.a.b")
        for lever in levers:
            await admin.subscribe(lever, cb=hear)
            await admin.publish(echo, BODY, reply=lever)
        assert (await admin.request(echo, BODY, timeout=LIMIT)).data
        assert taken == []
        await admin.close()
        await bench.service.stop()


async def test_a_person_who_subscribes_to_everything_or_reads_nothing_harms_nobody(nats: Servers) -> None:
    """10,000 subscriptions; and answers of 700 KB, asked for and never read."""
    reader, writer = await alice_by_hand(nats)
    writer.writelines(b"SUB _INBOX_alice.%d %d\r\n" % (number, number) for number in range(1, 10_001))
    refused = await asyncio.wait_for(reader.readuntil(b"-ERR"), LIMIT) + await reader.readline()
    assert b"maximum subscriptions exceeded" in refused.lower()
    writer.close()

    async with connected(nats, "gateway") as gateway:

        async def answer(message: Msg) -> None:
            await gateway.nc.publish(message.reply, b"x" * 700_000)

        await gateway.nc.subscribe(subjects.watch("*", "*"), cb=answer)
        await settled(gateway.nc)
        _, writer = await alice_by_hand(nats)
        writer.write(b"SUB _INBOX_alice.x 1\r\n")
        for _ in range(200):
            writer.write(b"PUB %s _INBOX_alice.x 2\r\n{}\r\n" % WATCH)
        await writer.drain()
        alice = await nats.connect("alice")
        for _ in range(5):
            assert len((await alice.request(WATCH.decode(), b"{}", timeout=LIMIT)).data) == 700_000
        assert gateway.nc.stats["reconnects"] == 0
        await alice.close()
        writer.close()
