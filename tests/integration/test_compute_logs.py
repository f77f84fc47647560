"""What tasks print: reported, kept once, told, and read by who may see the task."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from shared.contracts import compute as c
from shared.contracts import ids, subjects
from shared.contracts.errors import HeadraceError, NotFound
from shared.contracts.events import TaskLogged
from shared.contracts.work import LOG_KEPT, Completed, Failed, Logged, Output, ReportBatch
from shared.worker import App, Task
from tests.support.compute_functions import app as children
from tests.support.compute_rig import Rig, open_rig, spec
from tests.support.servers import Servers
from tests.support.wait import wait_until

app = App()
GATES: dict[str, asyncio.Event] = {}


@app.function
async def speak(task: Task) -> None:
    """Prints, waits for the gate that the payload names, prints again."""
    print("before", task.payload)
    await GATES.setdefault(task.payload, asyncio.Event()).wait()
    print("after", task.payload)


@app.function
async def silent(task: Task) -> None: ...


@pytest.fixture(scope="module")
async def rig(servers: Servers) -> AsyncIterator[Rig]:
    async with open_rig(servers) as rig:
        yield rig


async def logs(rig: Rig, task: UUID, attempt: int | None = None, start: int = 0, user: str = "ann") -> c.TaskLog:
    return await rig.ask("task.logs", c.TaskLogs(task, attempt, start), c.TaskLog, user=user)


async def printed(rig: Rig, task: UUID, text: str, attempt: int | None = None) -> c.TaskLog:
    """Waits until a task's log is this."""

    async def there() -> c.TaskLog | None:
        seen = await logs(rig, task, attempt)
        return seen if seen.text == text else None

    found = await wait_until(there, on_timeout=lambda: logs(rig, task, attempt))
    assert found is not None
    return found


async def report(rig: Rig, *reports: Any) -> None:
    await rig.bus.publish(subjects.report("default"), ReportBatch("stranger", list(reports)))


async def queued(rig: Rig) -> UUID:
    """A task that no worker takes: its reports are the test's own."""
    partition = await rig.partition()
    return ids.task_id(await rig.submit(await rig.session(partition), [spec("silent")]), 0)


def completed(task: UUID) -> Completed:
    result = ids.result_id(ids.submission_of(task), ids.line_of(task))
    return Completed(task, 0, [Output(result, 2, b"{}")])


def received(rig: Rig, session: UUID) -> list[TaskLogged]:
    return [msgspec.json.decode(body, type=TaskLogged) for body in rig.received(f"hr.evt.task.logged.{session}")]


# -- from a worker


async def test_it_is_seen_while_the_task_runs_and_whole_when_it_has_ended(rig: Rig) -> None:
    partition, names = await rig.partition(), [str(uuid4()), str(uuid4())]
    session = await rig.session(partition)
    async with rig.worker(app, partition=partition):
        id = await rig.submit(session, [spec("speak", name) for name in names])
        for line, name in enumerate(names):
            seen = await printed(rig, ids.task_id(id, line), f"before {name}\n")
            assert (seen.attempt, seen.ended, seen.more, seen.next) == (0, False, False, len(seen.text))
            GATES[name].set()
        assert (await rig.all_ended(session)).completed == 2
        # Not waited for: what was printed is there as soon as the end is.
        for line, name in enumerate(names):
            seen = await logs(rig, ids.task_id(id, line))
            assert (seen.text, seen.ended) == (f"before {name}\nafter {name}\n", True)
            rest = await logs(rig, ids.task_id(id, line), start=len(f"before {name}\n"))
            assert rest.text == f"after {name}\n"


async def test_it_is_told_to_who_watches_and_silence_is_not(rig: Rig) -> None:
    partition, name = await rig.partition(), str(uuid4())
    session = await rig.session(partition)
    GATES[name] = asyncio.Event()
    GATES[name].set()
    async with rig.worker(app, partition=partition):
        id = await rig.submit(session, [spec("silent"), spec("speak", name, inputs=["@0"])])
        await rig.all_ended(session)
        await wait_until(lambda: received(rig, session))
        assert received(rig, session) == [
            TaskLogged(session, ids.task_id(id, 1), 0, 0, f"before {name}\nafter {name}\n")
        ]
        assert (await logs(rig, ids.task_id(id, 0))).text == ""


async def test_a_child_killed_for_its_time_has_left_its_words(rig: Rig, tmp_path: Path) -> None:
    partition = await rig.partition()
    session = await rig.session(partition)
    async with rig.worker(children, partition=partition, slots=1):
        # Its child has to be up within that time.
        tasks = [spec("last_words", str(tmp_path / "told"), options={"max_duration": 3})]
        task = ids.task_id(await rig.submit(session, tasks), 0)
        await rig.until(task, "timeout")
        assert (await logs(rig, task)).text == "attempt 0\n"


async def test_each_attempt_has_its_own(rig: Rig) -> None:
    partition = await rig.partition()
    session = await rig.session(partition)
    async with rig.worker(children, partition=partition, slots=1):
        task = ids.task_id(await rig.submit(session, [spec("last_words")]), 0)
        await rig.until(task, "completed")
        assert [(await logs(rig, task, n)).text for n in (0, 1, None)] == ["attempt 0\n", "attempt 1\n", "attempt 1\n"]
        with pytest.raises(NotFound, match="no attempt 2"):
            await logs(rig, task, 2)


async def test_a_long_one_comes_in_pages_and_ends_with_what_is_missing(rig: Rig) -> None:
    partition = await rig.partition()
    session = await rig.session(partition)
    async with rig.worker(children, partition=partition, slots=1):
        task = ids.task_id(await rig.submit(session, [spec("chatter", 10_000)]), 0)
        await rig.until(task, "completed")
        pages = [await logs(rig, task)]
        while pages[-1].more:
            assert len(msgspec.json.encode(pages[-1].text)) <= LOG_KEPT
            pages.append(await logs(rig, task, start=pages[-1].next))
        assert len(pages) == 2
        text = "".join(f"{n:063d}\n" for n in range(10_000))
        last = f"\n… {len(text) - LOG_KEPT} bytes more were not kept\n"
        assert "".join(page.text for page in pages) == text[:LOG_KEPT] + last


# -- from anybody who speaks the protocol


async def test_reported_twice_it_is_kept_and_told_once(rig: Rig) -> None:
    task = await queued(rig)
    session = (await rig.task(task)).session
    first, second = Logged(task, 0, 0, "one\n"), Logged(task, 0, 4, "two\n")
    await report(rig, first)
    await report(rig, first, second)
    await report(rig, first, second, completed(task))
    await rig.until(task, "completed")
    assert (await logs(rig, task)).text == "one\ntwo\n"
    await wait_until(lambda: len(received(rig, session)) >= 2)
    assert [event.text for event in received(rig, session)] == ["one\n", "two\n"]


async def test_a_past_attempts_late_words_are_taken_and_a_coming_ones_are_not(rig: Rig) -> None:
    task = await queued(rig)
    await report(rig, Logged(task, 1, 0, "too early"), Failed(task, 0, "lost", "gone"))
    await wait_until(lambda: attempt_is(rig, task, 1))
    await report(rig, Logged(task, 0, 0, "late"), Logged(task, 1, 0, "now"))
    assert not (await printed(rig, task, "now")).ended
    assert (await printed(rig, task, "late", attempt=0)).ended


async def attempt_is(rig: Rig, task: UUID, attempt: int) -> bool:
    return (await rig.task(task)).attempt == attempt


async def test_a_missing_piece_is_waited_for_until_the_end(rig: Rig) -> None:
    task = await queued(rig)
    await report(rig, Logged(task, 0, 0, "one "), Logged(task, 0, 8, "three"))
    seen = await printed(rig, task, "one ")
    assert (seen.next, seen.more) == (4, False)
    await report(rig, completed(task))
    await rig.until(task, "completed")
    seen = await logs(rig, task)
    assert (seen.text, seen.next) == ("one three", 13)
    await report(rig, Logged(task, 0, 4, "two "))
    await printed(rig, task, "one two three")


async def test_what_cannot_be_a_piece_harms_nothing(rig: Rig) -> None:
    task = await queued(rig)
    odd = [
        Logged(uuid4(), 0, 0, "of nobody"),
        Logged(task, -1, 0, "x"),
        Logged(task, 1 << 20, 0, "x"),
        Logged(task, 0, -1, "x"),
        Logged(task, 0, 1 << 40, "x"),
        Logged(task, 0, 1 << 20, "beyond what is kept"),
    ]
    await report(rig, *odd, Logged(task, 0, 0, "NUL \x00, ESC \x1b"), completed(task))
    await rig.until(task, "completed")
    assert (await logs(rig, task)).text == "NUL ␀, ESC ␛"


async def test_others_do_not_see_it(rig: Rig) -> None:
    task = await queued(rig)
    await report(rig, Logged(task, 0, 0, "mine"))
    await printed(rig, task, "mine")
    assert (await logs(rig, task, user="admin")).text == "mine"
    for asked, user in ((task, "bob"), (uuid4(), "ann")):
        with pytest.raises(NotFound):
            await logs(rig, asked, user=user)
    with pytest.raises(HeadraceError):
        await rig.ask("task.logs", {"task": str(task), "start": -1}, c.TaskLog)
