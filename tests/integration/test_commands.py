"""Durable commands: published to a stream, carried out once, the outcome told."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from shared.bus.client import Bus
from shared.bus.publish import PubAck
from shared.contracts import headers as h
from shared.contracts import subjects
from shared.contracts.errors import AlreadyExists, NotFound, RateLimited, Unavailable
from shared.contracts.events import CommandDone, CommandRejected
from shared.contracts.topology import COMMANDS
from shared.service import commands
from tests.support.bus_rig import Bench, Said, Word, connected, open_bench
from tests.support.databases import Database
from tests.support.servers import Servers
from tests.support.speaking import speaking
from tests.support.wait import wait_until

SAY = subjects.command("alice", "archiver", "word", "say")
RPC = subjects.rpc("archiver", "word", "say")


@pytest.fixture
async def bench(nats: Servers, database: Database) -> AsyncIterator[Bench]:
    async with open_bench(nats, database) as bench:
        yield bench
        await bench.service.stop()


@pytest.fixture
async def alice(bench: Bench, nats: Servers) -> AsyncIterator[Bus]:
    async with connected(nats, "alice", topology=False) as bus:
        yield bus


async def outcome(bench: Bench, ack: PubAck) -> CommandDone | CommandRejected:
    """Waits for what became of a command."""
    kinds: dict[str, Any] = {"done": CommandDone, "rejected": CommandRejected}

    async def received() -> CommandDone | CommandRejected | None:
        for event in await bench.events():
            noun, verdict, sequence = event.subject.split(".")[2:]
            if noun == "command" and sequence == str(ack.seq):
                return msgspec.json.decode(event.data, type=kinds[verdict])  # type: ignore[no-any-return]
        return None

    found = await wait_until(received)
    assert found is not None
    return found


async def empty(bench: Bench) -> bool:
    return (await bench.bus.nc.jetstream().stream_info("COMMANDS")).state.messages == 0


async def test_a_command_waits_for_its_service_and_its_outcome_is_told(bench: Bench, alice: Bus) -> None:
    ack = await alice.publish(SAY, Word("hello", 2), headers=speaking(bench.keys, "mallory", SAY))
    await bench.start()
    done = await outcome(bench, ack)
    assert isinstance(done, CommandDone)
    assert done.subject == SAY
    # The user is the subject's token, whatever the header says.
    assert msgspec.json.decode(done.reply, type=Said) == Said("hellohello", "alice")
    await wait_until(lambda: empty(bench))
    assert await bench.said() == ["hello"]


async def test_a_refused_command_is_told_and_changes_nothing(bench: Bench, alice: Bus) -> None:
    await bench.start()
    refused = await outcome(bench, await alice.publish(SAY, Word("refuse")))
    assert isinstance(refused, CommandRejected)
    assert (refused.error.code, refused.error.field) == ("not_found", "text")
    assert refused.error.trace
    malformed = await outcome(bench, await alice.publish(SAY, b'{"text": 1}'))
    assert isinstance(malformed, CommandRejected)
    assert (malformed.error.code, malformed.error.field) == ("invalid_argument", "text")
    for subject in (subjects.command("alice", "archiver", "word", "echo"), f"{SAY}.more"):
        unknown = await outcome(bench, await alice.publish(subject, Word("x")))
        assert isinstance(unknown, CommandRejected)
        assert unknown.error.field == "subject"
    assert await bench.said() == []
    await wait_until(lambda: empty(bench))


async def test_delivered_twice_it_acts_once(bench: Bench, alice: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """The work is committed, then the outcome cannot be told: the command comes again and is found done."""
    publish, failures = bench.bus.publish, iter([Unavailable("as told")])

    async def faulty(subject: str, message: Any, **more: Any) -> PubAck:
        if subject.startswith("hr.evt.command.") and (error := next(failures, None)):
            raise error
        return await publish(subject, message, **more)

    monkeypatch.setattr(bench.bus, "publish", faulty)
    await bench.start()
    done = await outcome(bench, await alice.publish(SAY, Word("once")))
    assert isinstance(done, CommandDone)
    assert msgspec.json.decode(done.reply, type=Said) == Said("once", "alice")
    assert next(failures, None) is None, "the outcome was refused once"
    assert (bench.acted, await bench.said()) == (1, ["once"])
    await wait_until(lambda: empty(bench))


async def test_a_surprise_is_tried_again_then_buried_and_the_next_one_runs(
    bench: Bench, alice: Bus, nats: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.service.middleware.poison.ATTEMPTS", 2)
    await bench.start()
    poison = await alice.publish(SAY, Word("surprise"))
    done = await outcome(bench, await alice.publish(SAY, Word("next")))
    assert isinstance(done, CommandDone)
    await wait_until(lambda: empty(bench))
    admin = await nats.connect()
    buried = await admin.jetstream().get_msg("DEAD", 1)
    await admin.close()
    assert buried.subject == "hr.dead.commands.alice"
    assert msgspec.json.decode(buried.data, type=Word) == Word("surprise")
    assert buried.headers is not None
    assert buried.headers[h.DEAD_REASON] == "RuntimeError: a secret of ours"
    assert (buried.headers[h.DEAD_SUBJECT], buried.headers[h.DEAD_SEQUENCE]) == (SAY, str(poison.seq))
    assert await bench.said() == ["next"]


async def test_what_takes_too_long_again_and_again_ends_with_an_outcome(
    bench: Bench, alice: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It kept one of the places that all users share for ever."""
    monkeypatch.setattr("shared.service.middleware.poison.TIMEOUTS", 2)
    await bench.start()
    ended = await outcome(bench, await alice.publish(SAY, Word("late")))
    assert isinstance(ended, CommandRejected)
    assert (ended.error.code, bench.acted) == ("deadline_exceeded", 2)
    await wait_until(lambda: empty(bench))


async def test_a_flood_of_one_user_is_refused_and_others_are_heard(bench: Bench, alice: Bus, nats: Servers) -> None:
    most = COMMANDS.max_msgs_per_subject
    await asyncio.gather(*[await alice.send(SAY, b"{}") for _ in range(most)])
    with pytest.raises(RateLimited, match="maximum messages per subject"):
        await alice.publish(SAY, Word("more"))
    admin = await nats.connect()
    await admin.jetstream().publish(subjects.command("bob", "archiver", "word", "say"), b"{}")
    await admin.close()
    state = (await bench.bus.nc.jetstream().stream_info("COMMANDS")).state
    assert state.messages == most + 1


async def test_an_idempotency_key_gives_the_same_answer_once(bench: Bench, alice: Bus) -> None:
    await bench.start()
    headers = speaking(bench.keys, "alice", RPC) | {h.IDEMPOTENCY_KEY: "k1"}
    first = await bench.asker.request(RPC, Word("mine"), Said, headers=headers)
    assert await bench.asker.request(RPC, Word("mine"), Said, headers=headers) == first
    assert bench.acted == 1
    for other in (Word("other"), Word("mine", 2)):
        with pytest.raises(AlreadyExists) as raised:
            await bench.asker.request(RPC, other, Said, headers=headers)
        assert raised.value.field == h.IDEMPOTENCY_KEY
    # The key is its owner's: another user may use the same. A command under it is the same request.
    await bench.asker.request(RPC, Word("theirs"), Said, headers=headers | speaking(bench.keys, "bob", RPC))
    done = await outcome(bench, await alice.publish(SAY, Word("mine"), headers={h.IDEMPOTENCY_KEY: "k1"}))
    assert isinstance(done, CommandDone)
    assert msgspec.json.decode(done.reply, type=Said) == first
    assert await bench.said() == ["mine", "theirs"]


async def test_the_same_key_at_the_same_time_acts_once(bench: Bench) -> None:
    await bench.start()
    headers = speaking(bench.keys, "alice", RPC) | {h.IDEMPOTENCY_KEY: "k2"}
    calls = (bench.asker.request(RPC, Word("mine"), Said, headers=headers) for _ in range(5))
    assert len(set(await asyncio.gather(*calls))) == 1
    assert await bench.said() == ["mine"]


async def test_a_refusal_does_not_use_up_its_key(bench: Bench) -> None:
    await bench.start()
    headers = speaking(bench.keys, "alice", RPC) | {h.IDEMPOTENCY_KEY: "k3"}
    for _ in range(2):
        with pytest.raises(NotFound):
            await bench.asker.request(RPC, Word("refuse"), Said, headers=headers)
    assert await bench.asker.request(RPC, Word("now"), Said, headers=headers) == Said("now", "alice")


async def test_a_command_that_takes_long_holds_up_no_others(
    bench: Bench, alice: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as there is room for run side by side; the others wait with the pull."""
    monkeypatch.setattr(commands, "AT_ONCE", 2)
    held = bench.held["slow"] = asyncio.Event()
    await bench.start()
    first = await alice.publish(SAY, Word("slow"))
    for n in range(3):
        assert isinstance(await outcome(bench, await alice.publish(SAY, Word(f"quick {n}"))), CommandDone)
    assert await bench.said() == ["quick 0", "quick 1", "quick 2"]
    held.set()
    assert isinstance(await outcome(bench, first), CommandDone)
    await wait_until(lambda: empty(bench))
