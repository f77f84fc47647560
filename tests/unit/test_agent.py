"""The worker's loop on the bus in memory: messages and functions that misbehave."""

import asyncio
import dataclasses
import threading
import time

import msgspec
import pytest

from shared.bus.pull import delivery
from shared.contracts import subjects
from shared.contracts.topology import DEAD_WHOLE
from shared.contracts.work import Completed, Failed, Progress, Started
from shared.service.middleware.poison import DEAD_BEGINNING
from shared.worker import App, Task
from shared.worker.json_values import MOST_ITEMS
from tests.support.agent_rig import Rig, gates, open_rig, rig, seen
from tests.support.wait import wait_until

__all__ = ["rig"]


@pytest.mark.parametrize("data", [b'{"session": "\xff\xfe"}', b'{"x": ' + b"[" * 100_000, b'{"session": 1}'])
async def test_a_message_that_does_not_decode_is_buried_and_the_worker_goes_on(rig: Rig, data: bytes) -> None:
    await rig.raw(data)
    work = rig.work()
    await rig.send(work)
    assert isinstance(await rig.ended(work), Completed)
    [(subject, kept)] = rig.broker.messages("DEAD")
    assert subject == subjects.dead("TASKS", subjects.WORKER)
    assert kept == (data if len(data) < DEAD_WHOLE else data[:DEAD_BEGINNING])


async def test_a_function_that_raises_cancelled_error_fails_its_task_alone(rig: Rig) -> None:
    bad, good = rig.work("cancelled"), rig.work()
    await rig.send(bad, good)
    failed = await rig.ended(bad)
    assert isinstance(failed, Failed)
    assert (failed.kind, failed.message.split(" ")[0]) == ("error", "CancelledError")
    assert isinstance(await rig.ended(good), Completed)


async def test_a_message_that_comes_again_to_its_holder_is_not_acknowledged_as_a_copy(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.worker.agent.REPORT_START_AFTER", 60.0)  # its start is not told meanwhile
    running = rig.work("hold", b'"again"')
    await rig.send(running)
    held = await wait_until(lambda: rig.agent.held.get(running.id))
    assert held is not None
    parcel = held.delivery
    first = parcel.message
    assert rig.broker.redeliver() == 1
    await wait_until(lambda: parcel.message is not first)
    assert delivery(parcel.message) == (2, delivery(first)[1])
    assert len(rig.broker.messages("TASKS")) == 1
    gates["again"].set()
    assert isinstance(await rig.ended(running), Completed)
    await wait_until(lambda: not rig.broker.messages("TASKS"))
    assert not rig.asked


async def test_a_task_that_somebody_had_before_is_told_as_started_before_it_runs(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its code may be what killed that worker within the 100 ms in which nobody knows who runs it."""
    monkeypatch.setattr("shared.worker.agent.GIVE_BACK", 0.0)
    busy, given_back = rig.work("hold", b'"busy"'), rig.work()
    await rig.send(busy)
    await wait_until(lambda: rig.agent.held.get(busy.id))
    await rig.send(given_back)
    await wait_until(lambda: rig.agent.held.waiting)
    await wait_until(lambda: not rig.agent.held.get(given_back.id))
    gates["busy"].set()
    assert isinstance(await rig.ended(given_back), Completed)
    assert rig.asked[0].tasks == [(given_back.id, 0)]
    received = [[type(r) for r in message if r.task == given_back.id] for message in rig.batches()]
    assert [kinds for kinds in received if kinds] == [[Started], [Completed]]
    await wait_until(lambda: not rig.broker.messages("TASKS"))


async def test_many_values_fit_in_a_report_because_some_become_objects(rig: Rig) -> None:
    work = rig.work("many", b"16384", outputs=64)
    await rig.send(work)
    ended = await rig.ended(work)
    assert isinstance(ended, Completed)
    assert len([output for output in ended.outputs if output.data is not None]) == 16
    assert all(output.size == 16384 and (output.data is None) == bool(output.object) for output in ended.outputs)


async def test_a_report_that_no_message_can_carry_fails_its_task_alone(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.worker.runner.INLINE", 2**30)
    large, small = rig.work("many", b"16384", outputs=64), rig.work()
    await rig.send(large, small)
    failed = await rig.ended(large)
    assert isinstance(failed, Failed)
    assert failed.kind == "error"
    assert "could not be reported" in failed.message
    assert isinstance(await rig.ended(small), Completed)
    await wait_until(lambda: not rig.broker.messages("TASKS"))
    queue, _ = rig.agent.queues
    await queue.reports.until_stored(5)
    assert queue.reports.unstored_messages == 0


async def test_of_many_words_about_progress_the_last_is_told(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.worker.slots.PROGRESS_INTERVAL", 60.0)
    work = rig.work("tells")
    await rig.send(work)
    assert isinstance(await rig.ended(work), Completed)
    assert [report for report in rig.reports() if isinstance(report, Progress)] == [Progress(work.id, 0, 0.999)]


async def test_a_report_that_cannot_be_encoded_is_its_own_tasks_error_and_its_neighbours_go_out(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No report of ours is so any more: here one is made by hand."""
    bad, good = rig.work("hold", b'"bad"'), rig.work("hold", b'"good"')
    for work in (bad, good):
        await rig.send(work)
    await rig.runs(bad)
    held = rig.agent.held.get(bad.id)
    assert held is not None
    reports = held.queue.reports
    reports.add(Progress(bad.id, 0, 0.5, "caf\udce9"))
    reports.add(Progress(good.id, 0, 0.5, "as it should be"))
    rig.agent.slots.report(held, Failed(bad.id, 0, "error", "caf\udce9"))
    assert await rig.ended(bad) == Failed(bad.id, 0, "error", "its end could not be reported: UnicodeEncodeError")
    assert "as it should be" in [report.message for report in rig.reports() if isinstance(report, Progress)]
    gates["bad"].set()
    await rig.runs(good)
    gates["good"].set()
    assert isinstance(await rig.ended(good), Completed)
    await wait_until(lambda: not rig.queued())


async def test_a_worker_whose_loops_were_ended_by_somebody_ends_and_nobody_fails_of_it(rig: Rig) -> None:
    """The code of a task can cancel what it finds in the loop. A worker that lives, but takes nothing, would be worse."""
    work = rig.work("hold", b'"swept"')
    await rig.send(work)
    await rig.runs(work)
    held = rig.agent.held.get(work.id)
    assert held is not None
    assert held.slot is not None
    for task in (held.slot, *rig.agent.slots.loops):
        task.cancel()
    with pytest.raises(ExceptionGroup) as ended:
        await asyncio.wait_for(asyncio.shield(rig.running), 10)
    assert "ended by somebody else" in str(ended.value.exceptions[0])
    assert not [report for report in rig.reports() if isinstance(report, Failed)]
    rig.running = asyncio.create_task(asyncio.sleep(0))


@pytest.mark.parametrize("leaves", ["keep", "set", "cancel"])
async def test_one_asyncio_task_serves_many_runs_but_none_after_one_that_has_left_something(
    rig: Rig, leaves: str
) -> None:
    seen.clear()
    works = [rig.work("who") for _ in range(4)] + [rig.work("who", msgspec.json.encode(leaves)), rig.work("who")]
    await rig.send(*works)
    for work in works:
        assert isinstance(await rig.ended(work), Completed)
    names = [name for name, _ in seen]
    assert names[:5] == [names[0]] * 5
    assert names[5] != names[0]
    assert {secret for _, secret in seen} == {""}


async def test_a_long_value_with_a_fault_is_looked_through_beside_the_loop() -> None:
    functions, threads = App(), set[threading.Thread]()

    @dataclasses.dataclass
    class Seen:
        def __getattribute__(self, name: str) -> object:
            if name == "x":
                threads.add(threading.current_thread())
            return super().__getattribute__(name)

        x: float = 0.5

    @functions.function
    async def long(task: Task) -> object:
        return [*[None] * MOST_ITEMS, Seen(), float("nan")]

    async with open_rig(functions) as rig:
        work = rig.work("long")
        await rig.send(work)
        ended = await rig.ended(work)
    assert isinstance(ended, Failed)
    assert ended.message == f"long: return value $[{MOST_ITEMS + 1}]: nan is no number in JSON"
    assert len(threads) > 1


async def test_what_a_task_waits_for_the_others_of_its_turn_is_not_its_own_time() -> None:
    """A worker's window follows from how long its tasks take: counted in, one task's time would make all look slow."""
    functions = App()

    @functions.function
    async def holds_the_loop(task: Task) -> None:
        time.sleep(0.2)

    @functions.function
    async def echo(task: Task) -> bytes:
        return b"1"

    async with open_rig(functions, slots=2) as rig:
        long, short = rig.work("holds_the_loop"), rig.work()
        await rig.send(long, short)  # both begin in one turn of the loop
        first, second = await rig.ended(long), await rig.ended(short)
        assert isinstance(first, Completed)
        assert first.seconds >= 0.2
        assert isinstance(second, Completed)
        assert second.seconds < 0.1
