"""A worker is told to stop what it runs, to let go what waits, to end; and which of its partitions is more urgent."""

from pathlib import Path

import msgspec
import pytest
from nats.aio.msg import Msg

from shared.bus.pull import Pull, delivery
from shared.contracts import subjects
from shared.contracts.work import BeatReply, Completed, Failed, Progress
from tests.support.agent_rig import Rig, app, gates, open_rig, ran, rig, stubborn
from tests.support.wait import wait_until

__all__ = ["rig"]

WHY = "it was cancelled"


@pytest.mark.parametrize("payload", [b"null", b'"stubborn"'])
async def test_what_runs_is_cancelled_and_reported_when_it_has_ended(rig: Rig, payload: bytes) -> None:
    running, waiting = rig.work("cleans_up", payload), rig.work()
    await rig.send(running, waiting)
    await rig.runs(running)
    await rig.control("cancelled")
    assert await rig.ended(running) == Failed(running.id, 0, "cancelled", WHY)
    await wait_until(lambda: not rig.queued())
    assert [type(report) for report in rig.reports() if report.task == running.id][-2:] == [Progress, Failed]
    assert not [report for report in rig.reports() if report.task == waiting.id], "it had not begun: nothing to say"
    assert rig.agent.held.all() == []


async def test_a_blocking_function_and_its_sub_processes_are_dead_before_it_is_reported(
    rig: Rig, tmp_path: Path
) -> None:
    received = tmp_path / "pids"
    work = rig.work("family", msgspec.json.encode(str(received)))
    await rig.send(work)
    pids = await wait_until(
        lambda: received.exists() and [int(pid) for pid in received.read_text().split()], timeout=20
    )
    await rig.control("cancelled", (work, 0))
    assert await rig.ended(work) == Failed(work.id, 0, "cancelled", WHY)
    assert len(pids) == 2
    assert not [pid for pid in pids if _runs(pid)]


def _runs(pid: int) -> bool:
    """Whether it does: an orphan that nobody has waited for is dead, too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


async def test_only_the_attempts_that_are_named_are_stopped(rig: Rig) -> None:
    one, other = rig.work("hold", b'"one"'), rig.work("hold", b'"other"')
    later = msgspec.structs.replace(rig.work("hold", b'"later"'), attempt=2)
    await rig.send(one, other, later)
    await rig.runs(one)
    await rig.control("preempted", (other, 0), (later, 1), (rig.work(), 0))
    await rig.control("preempted", (one, 3))  # a later attempt than is known here: this one is over
    stopped = await rig.ended(one)
    assert isinstance(stopped, Failed)
    assert (stopped.kind, "another partition" in stopped.message) == ("cancelled", True)
    await rig.runs(later)
    gates["later"].set()
    assert isinstance(await rig.ended(later), Completed)
    assert not [report for report in rig.reports() if report.task == other.id]


@pytest.mark.parametrize("event", ["closed", "paused"])
async def test_closing_and_pausing_let_go_what_waits_and_leave_what_runs(rig: Rig, event: str) -> None:
    gates.clear()
    running, waiting = rig.work("hold", b'"on"'), rig.work()
    await rig.send(running)
    await rig.send(waiting)
    await rig.runs(running)
    await rig.waits(waiting)
    await rig.control(event)
    await wait_until(lambda: not rig.agent.held.get(waiting.id))
    gates["on"].set()
    assert isinstance(await rig.ended(running), Completed)
    await wait_until(lambda: not rig.queued())
    assert not [report for report in rig.reports() if report.task == waiting.id]


async def test_a_copy_that_comes_after_the_word_is_not_run(rig: Rig) -> None:
    late, again = rig.work(), rig.work()
    await rig.control("cancelled", (late, 0), (again, 0))
    await rig.send(late)
    await rig.send(again)
    await wait_until(lambda: not rig.queued())
    await rig.send(msgspec.structs.replace(again, attempt=1))
    assert (await rig.ended(again)).attempt == 1
    assert not [report for report in rig.reports() if report.task == late.id]


@pytest.mark.parametrize("data", [b"", b"{", b'{"event": "cancelled", "tasks": 3}', b'{"event": "melted"}', b"\xff"])
async def test_words_that_are_not_understood_stop_nothing(rig: Rig, data: bytes) -> None:
    gates.clear()
    work = rig.work("hold", b'"stays"')
    await rig.send(work)
    await rig.runs(work)
    await rig.bus.nc.publish(subjects.session_control(rig.session), data)
    await rig.bus.nc.publish("hr.ctl.session.nobody", b'{"event": "cancelled"}')
    await rig.control("closed")  # which comes after them, and lets go of what waits
    gates["stays"].set()
    assert isinstance(await rig.ended(work), Completed)


async def test_what_a_heartbeats_answer_stops_is_reported_too(rig: Rig) -> None:
    running, waiting = rig.work("cleans_up"), rig.work()
    await rig.send(running, waiting)
    await rig.runs(running)
    rig.reply = BeatReply([running.id, waiting.id], 60.0)
    await rig.bus.nc.publish(subjects.HEARTBEAT_REQUEST, b"")
    assert await rig.ended(running) == Failed(running.id, 0, "cancelled", WHY)
    await wait_until(lambda: not rig.queued())
    assert not [report for report in rig.reports() if report.task == waiting.id]


@pytest.mark.parametrize("by", ["control", "heartbeat"])
async def test_what_is_dropped_does_not_begin_in_the_slot_that_is_freed(
    monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """The acknowledgement of what is dropped first takes until what ran has ended."""
    acknowledge = Pull.ack
    async with open_rig(app, slots=2) as rig:
        running, waiting = [rig.work("cleans_up") for _ in range(2)], [rig.work() for _ in range(2)]

        async def slow_ack(self: Pull, message: Msg) -> None:
            await rig.ended(running[0])
            await acknowledge(self, message)

        for work in running:
            await rig.send(work)
            await rig.runs(work)
        for work in waiting:
            await rig.send(work)
        await rig.waits(*waiting)
        monkeypatch.setattr(Pull, "ack", slow_ack)
        if by == "control":
            await rig.control("cancelled")
        else:
            rig.reply = BeatReply([work.id for work in (*running, *waiting)], 60.0)
            await rig.bus.nc.publish(subjects.HEARTBEAT_REQUEST, b"")
        for work in running:
            assert await rig.ended(work) == Failed(work.id, 0, "cancelled", WHY)
        await wait_until(lambda: not rig.agent.held.all())
        assert not [report for report in rig.reports() if report.task in {work.id for work in waiting}]


async def test_an_answer_about_an_attempt_does_not_stop_the_next_one(rig: Rig) -> None:
    """It came while the heartbeat was under way, which named only the one before."""
    gates.clear()
    first = rig.work("hold", b'"both"')
    later = msgspec.structs.replace(first, attempt=1)

    async def meanwhile() -> None:
        await rig.send(later)
        await wait_until(lambda: (held := rig.agent.held.get(first.id)) is not None and held.work.attempt == 1)

    await rig.send(first)
    await rig.runs(first)
    rig.meanwhile, rig.reply = meanwhile, BeatReply([first.id], 59.0)
    await rig.bus.nc.publish(subjects.HEARTBEAT_REQUEST, b"")
    await wait_until(lambda: rig.agent.beat_interval == 59.0)
    gates["both"].set()
    await wait_until(lambda: [r for r in rig.reports() if isinstance(r, Completed) and r.attempt == 1])


async def test_the_more_urgent_partition_goes_first_and_has_room_of_its_own(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.worker.agent.GIVE_BACK", 60.0)
    gates.clear()
    rig.reply = BeatReply([], 60.0, {"express": -1})
    await rig.bus.nc.publish(subjects.HEARTBEAT_REQUEST, b"")
    _, express = rig.agent.queues
    await wait_until(lambda: express.rank == -1)
    beat = rig.beats[-1]
    assert (beat.partition, beat.serves) == ("default", ["default", "express"])
    first, usual, urgent = rig.work("hold", b'"first"'), [rig.work() for _ in range(3)], [rig.work() for _ in range(3)]
    await rig.send(first)
    await rig.runs(first)
    await rig.send(*usual)
    await rig.waits(*usual)
    await rig.send(*urgent, partition="express")
    await rig.waits(*urgent)
    gates["first"].set()
    for work in usual:
        await rig.ended(work)
    assert ran[-6:] == [work.id for work in (*urgent, *usual)]
    received = {report.task for batch in rig.batches("express") for report in batch}
    assert received == {work.id for work in urgent}


async def test_at_its_end_it_stops_what_takes_too_long_and_gives_back_what_came_with_it(rig: Rig) -> None:
    running, waiting = rig.work("cleans_up"), rig.work()
    await rig.send(running, waiting)
    await rig.runs(running)
    rig.stop.set()
    assert await rig.ended(running) == Failed(running.id, 0, "lost", "its worker was stopped")
    assert "cleaned up" in [report.message for report in rig.reports() if isinstance(report, Progress)]
    assert not [report for report in rig.reports() if report.task == waiting.id]
    other = Pull(rig.bus, "TASKS", "workers-default")
    await other.start()
    (message,) = await other.take()
    assert delivery(message)[0] == 2
    await other.stop()


async def test_what_cannot_be_ended_is_reported_within_its_time_and_its_slot_is_shown_as_held(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.worker.slots.STOP_LIMIT", 0.02)
    work, waiting = rig.work("waits_for_the_stubborn"), rig.work()
    await rig.send(msgspec.structs.replace(work, max_duration=0.02), waiting)
    assert await rig.ended(work) == Failed(work.id, 0, "timeout", "it took longer than 0.02 s")
    await rig.bus.nc.publish(subjects.HEARTBEAT_REQUEST, b"")
    await wait_until(lambda: (work.id, 0) in rig.beats[-1].holds)
    assert not [report for report in rig.reports() if report.task == waiting.id], "its only slot is taken"
    stubborn[-1].set_result(None)
    assert isinstance(await rig.ended(waiting), Completed)
    assert len([report for report in rig.reports() if report.task == work.id]) == 1
