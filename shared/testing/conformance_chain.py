"""What chains have to do: the suite that the fake and the real ones both pass.

The fixture `bench` gives the chains (made of `CHAINS`), units of work, and the events that were published. Steps do what the
chain's state scripts for them, one word a try (`ok` when the script ends), and write into `LOG` that they ran.
"""

from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol
from uuid import UUID

import msgspec
import pytest

from shared.chain.chains import ChainsPort
from shared.chain.context import StepContext
from shared.chain.declare import Chain, critical, retry, step
from shared.chain.errors import Later, UserError
from shared.chain.explain import ChainInfo
from shared.contracts.errors import AlreadyExists, Conflict, NotFound
from shared.contracts.ids import uuid7
from shared.contracts.operations import Amount
from shared.runtime.retry import Backoff
from shared.service.unit import Unit

LOG: dict[UUID, list[str]] = {}
"""What ran, in order, by chain."""
COMMITTED: dict[UUID, list[str]] = {}
"""What steps committed: once each, however often they ran."""

A_LITTLE = Backoff(first=0.2, factor=1, ceiling=0.2, jitter=0)
AT_ONCE = Backoff(first=0.01, factor=1, ceiling=0.01, jitter=0)


class Trip(msgspec.Struct, frozen=True):
    """`script`: for each function, what it does at its first run, its second, …"""

    script: dict[str, list[str]] = {}
    visited: list[str] = []


def act(name: str) -> Any:
    """A function that follows the script."""

    async def run(ctx: StepContext, state: Trip) -> Trip | None:
        log = LOG.setdefault(ctx.chain, [])
        script, before = state.script.get(name, []), log.count(name)
        log.append(name)
        ctx.emit(f"hr.evt.dataset.{name}.{ctx.chain}", {"tries": ctx.tries})

        async def committed(unit: Unit) -> None:
            COMMITTED.setdefault(ctx.chain, []).append(name)

        ctx.commit(committed)
        match script[before] if before < len(script) else "ok":
            case "user":
                raise UserError(f"{name}: the file is missing")
            case "system":
                raise RuntimeError(f"{name} broke")
            case "later":
                raise Later(0.01, "the tape robot")
            case "half":
                await ctx.save(msgspec.structs.replace(state, visited=[*state.visited, "half"]))
                raise RuntimeError(f"{name} broke halfway")
            case "nonsense":
                return 42  # type: ignore[return-value]
            case "none":
                return None
            case "unstorable":

                async def refuse(unit: Unit) -> None:
                    raise ValueError("no such row")

                ctx.commit(refuse)
        return msgspec.structs.replace(state, visited=[*state.visited, name])

    run.__name__ = name
    return run


TRIP = Chain(
    "trip",
    Trip,
    step(act("pack"), undo=act("unpack")),
    critical(act("move"), tries=2, backoff=AT_ONCE, undo=act("move_back")),
    retry(act("report"), backoff=AT_ONCE),
    undo=act("clean"),
    on_user_error=act("blame_user"),
    on_system_error=act("blame_us"),
    on_cancel=act("say_cancelled"),
)
BARE = Chain("bare", Trip, step(act("first")), critical(act("second"), tries=1))
BOUND = Chain(
    "bound",
    Trip,
    retry(act("thrice"), tries=3, backoff=AT_ONCE),
    retry(act("a_while"), give_up_after=0.6, backoff=A_LITTLE),
)


async def count(ctx: StepContext, state: Trip) -> None:
    """Reports twice how far it is, then does what the script says; the last step of a chain that is shown as an operation."""
    await ctx.progress(datablocks=Amount(0, 2), bytes=Amount(0))
    await ctx.progress(datablocks=Amount(1, 2))
    ctx.set_result({"counted": 2})
    if "system" in state.script.get("count", []):
        raise RuntimeError("count broke")
    if "hand over" in state.script.get("count", []):
        ctx.hand_over()


SHOWN = Chain("shown", Trip, step(act("pack")), step(count), cancellable_before="count")
CHAINS = (TRIP, BARE, BOUND, SHOWN)


class Bench(Protocol):
    """What the suite runs on."""

    chains: ChainsPort

    def begin(self) -> AbstractAsyncContextManager[Unit]: ...

    async def events_until(self, id: UUID, last: str) -> list[str]:
        """`<noun>.<event>` of all events about the chain up to the one that is `last`, in order."""
        ...


async def run(bench: Bench, chain: Chain[Trip], **script: list[str]) -> tuple[ChainInfo, list[str]]:
    """Runs a chain to its end; how it ended and what ran."""
    async with bench.begin() as unit:
        id = await bench.chains.start(unit, chain, Trip(script))
    return await bench.chains.wait(id), LOG.get(id, [])


def visited(info: ChainInfo) -> list[str]:
    return msgspec.json.decode(info.state, type=Trip).visited


class ChainConformance:
    async def test_steps_run_in_order_and_pass_the_state_on(self, bench: Bench) -> None:
        info, ran = await run(bench, TRIP)
        assert ran == visited(info) == ["pack", "move", "report"]
        assert (info.status, info.step, info.error, info.due_at) == ("done", "report", "", None)
        assert info.ended_at is not None
        assert await bench.events_until(info.id, "chain.done") == [
            "chain.started",
            "dataset.pack",
            "dataset.move",
            "dataset.report",
            "chain.done",
        ]

    async def test_a_state_that_is_not_given_back_stays(self, bench: Bench) -> None:
        info, ran = await run(bench, TRIP, move=["none"])
        assert ran == ["pack", "move", "report"]
        assert visited(info) == ["pack", "report"]

    async def test_a_retry_goes_on_until_it_succeeds(self, bench: Bench) -> None:
        info, ran = await run(bench, TRIP, report=["system"] * 3)
        assert info.status == "done"
        assert ran == ["pack", "move", "report", "report", "report", "report"]
        assert visited(info) == COMMITTED[info.id] == ["pack", "move", "report"]
        assert (await bench.events_until(info.id, "chain.done")).count("dataset.report") == 1

    async def test_waiting_is_no_failure(self, bench: Bench) -> None:
        info, ran = await run(bench, TRIP, pack=["later", "later"], move=["later"] * 4)
        assert info.status == "done"
        assert (ran.count("pack"), ran.count("move")) == (3, 5)
        assert COMMITTED[info.id] == ["pack", "move", "report"]

    async def test_a_critical_step_that_fails_undoes_in_reverse_order(self, bench: Bench) -> None:
        info, ran = await run(bench, TRIP, move=["system", "system"])
        assert (info.status, info.step, info.fault) == ("failed", "move", "system")
        assert ran == ["pack", "move", "move", "move_back", "unpack", "clean", "blame_us"]
        assert "RuntimeError: move broke" in info.error
        events = await bench.events_until(info.id, "chain.failed")
        assert events[0] == "chain.started"
        assert "dataset.move" not in events

    async def test_a_critical_step_may_fail_once(self, bench: Bench) -> None:
        info, ran = await run(bench, TRIP, move=["system"])
        assert info.status == "done"
        assert ran == ["pack", "move", "move", "report"]

    async def test_a_users_error_is_not_tried_again(self, bench: Bench) -> None:
        for name, before in (("pack", []), ("move", ["pack"]), ("report", ["pack", "move"])):
            info, ran = await run(bench, TRIP, **{name: ["user"]})
            assert (info.status, info.step, info.fault) == ("failed", name, "user")
            undone = {"pack": ["unpack"], "move": ["move_back", "unpack"], "report": ["move_back", "unpack"]}[name]
            assert ran == [*before, name, *undone, "clean", "blame_user"]
            assert info.error == f"{name}: the file is missing"

    async def test_a_plain_step_has_one_try(self, bench: Bench) -> None:
        info, ran = await run(bench, BARE, first=["system"])
        assert (info.status, ran) == ("failed", ["first"])
        info, ran = await run(bench, BARE, second=["system"])
        assert (info.status, ran) == ("failed", ["first", "second"])
        assert await bench.events_until(info.id, "chain.failed") == ["chain.started", "dataset.first", "chain.failed"]

    async def test_retries_can_be_bounded(self, bench: Bench) -> None:
        info, ran = await run(bench, BOUND, thrice=["system"] * 2)
        assert (info.status, ran) == ("done", ["thrice"] * 3 + ["a_while"])
        info, ran = await run(bench, BOUND, thrice=["system"] * 3)
        assert (info.status, info.step, ran) == ("failed", "thrice", ["thrice"] * 3)
        info, ran = await run(bench, BOUND, a_while=["system"] * 1000)
        assert (info.status, info.step) == ("failed", "a_while")
        assert 2 <= ran.count("a_while") <= 5
        info, _ = await run(bench, BOUND, a_while=["later"] * 1000)
        assert (info.status, info.error) == ("failed", "a_while: gave up waiting for the tape robot")

    async def test_undoing_is_tried_until_it_succeeds(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("shared.chain.decide.RETRY_BACKOFF", AT_ONCE)
        info, ran = await run(bench, TRIP, move=["user"], move_back=["system", "later"], unpack=["user"])
        assert info.status == "failed"
        assert ran == ["pack", "move", "move_back", "move_back", "move_back", "unpack", "clean", "blame_user"]
        assert info.error == "move: the file is missing; undo-pack: unpack: the file is missing"

    async def test_what_a_step_saved_is_there_when_it_runs_again(self, bench: Bench) -> None:
        info, ran = await run(bench, TRIP, move=["half"])
        assert ran == ["pack", "move", "move", "report"]
        assert visited(info) == ["pack", "half", "move", "report"]

    async def test_a_step_that_makes_no_sense_is_a_system_error(self, bench: Bench) -> None:
        info, _ = await run(bench, TRIP, pack=["nonsense"])
        assert (info.status, info.fault) == ("failed", "system")
        assert "int, not Trip" in info.error

    async def test_a_commit_that_fails_fails_the_step(self, bench: Bench) -> None:
        info, ran = await run(bench, TRIP, move=["unstorable"])
        assert info.status == "done"
        assert ran == ["pack", "move", "move", "report"]
        assert visited(info) == ["pack", "move", "report"]

    async def test_a_chain_is_started_once_by_its_id(self, bench: Bench) -> None:
        id = uuid7()
        for _ in range(2):
            async with bench.begin() as unit:
                assert await bench.chains.start(unit, TRIP, Trip(), id=id) == id
        assert (await bench.chains.wait(id)).status == "done"
        async with bench.begin() as unit:
            assert await bench.chains.start(unit, TRIP, Trip(), id=id) == id
        assert LOG[id] == ["pack", "move", "report"]
        with pytest.raises(AlreadyExists):
            async with bench.begin() as unit:
                await bench.chains.start(unit, BARE, Trip(), id=id)

    async def test_a_start_that_is_not_committed_starts_nothing(self, bench: Bench) -> None:
        id = uuid7()

        async def fails() -> None:
            async with bench.begin() as unit:
                await bench.chains.start(unit, TRIP, Trip(), id=id)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fails()
        with pytest.raises(NotFound):
            await bench.chains.get(id)

    async def test_only_the_services_own_chains_can_be_started(self, bench: Bench) -> None:
        other = Chain("other", Trip, step(act("first")))
        async with bench.begin() as unit:
            with pytest.raises(ValueError, match="other"):
                await bench.chains.start(unit, other, Trip())

    async def test_a_chain_that_waits_is_cancelled_at_once(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        script = {"move": ["later"] * 1000}
        async with bench.begin() as unit:
            id = await bench.chains.start(unit, TRIP, Trip(script))
        async with bench.begin() as unit:
            await bench.chains.cancel(unit, id)
        async with bench.begin() as unit:
            await bench.chains.cancel(unit, id)
        info = await bench.chains.wait(id)
        assert (info.status, info.fault) == ("cancelled", "cancelled")
        assert LOG[id][-2:] == ["clean", "say_cancelled"]
        assert "report" not in LOG[id]
        async with bench.begin() as unit:
            assert (await bench.chains.cancel(unit, id)).status == "cancelled"

    async def test_what_has_ended_cannot_be_cancelled(self, bench: Bench) -> None:
        for script, status in (({}, "DONE"), ({"first": ["user"]}, "FAILED")):
            info, _ = await run(bench, BARE, **script)
            with pytest.raises(Conflict, match=f"is {status}; cancel"):
                async with bench.begin() as unit:
                    await bench.chains.cancel(unit, info.id)

    async def test_what_is_not_there(self, bench: Bench) -> None:
        with pytest.raises(NotFound):
            await bench.chains.get(uuid7())
        with pytest.raises(NotFound):
            await bench.chains.explain(uuid7())
        with pytest.raises(NotFound):
            async with bench.begin() as unit:
                await bench.chains.cancel(unit, uuid7())

    async def test_it_explains_itself(self, bench: Bench) -> None:
        info, _ = await run(bench, TRIP, move=["user"])
        explained = await bench.chains.explain(info.id)
        assert explained.summary == "trip is failed: it ended at move"
        assert explained.reasons == ["user error: move: the file is missing"]
        info, _ = await run(bench, TRIP)
        assert (await bench.chains.explain(info.id)).summary == "trip is done"
