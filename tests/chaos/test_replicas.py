"""Two and three schedulers share the work: nothing is lost, released twice or locked for good, and one's death is soon made up for.

That the others go on within 5 s is measured where it hurts: at chains whose reports the dead one had in hand, or whose next
tasks it would have dispatched, and at a task that is submitted just then.
"""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from nats.aio.msg import Msg

from shared.contracts import subjects
from shared.contracts.events import Frame
from shared.contracts.ids import task_id
from tests.support.chaos.mix import Mix
from tests.support.chaos.run import LIMIT, Run, connected, running
from tests.support.edge import Edge, Watch
from tests.support.processes import Processes
from tests.support.servers import settled

pytestmark = pytest.mark.chaos

GOES_ON = {"killed": 5.0, "frozen": 15.0}
"""Seconds. Of a frozen one somebody has to notice that it says nothing."""
CHAINS, HOPS, NAP = 24, 120, 0.02
"""`NAP`: seconds of a chain's task; each chain has one under way at any moment."""
_frame = msgspec.json.Decoder(Frame).decode


@asynccontextmanager
async def schedulers(system: Processes, count: int) -> AsyncIterator[list[str]]:
    """So many, by name: two there are."""
    more = [f"scheduler-{number}" for number in range(3, count + 1)]
    for name in more:
        await system.start_service("scheduler", replica=name)
    names = ["scheduler", "scheduler-2", *more]
    await system.wait_until(lambda: all(_last(system, name, "partition.known") for name in names), timeout=LIMIT)
    yield names
    for name in more:
        await system.stop(name)


def _last(system: Processes, name: str, event: str) -> str:
    """When it last said so of the partition `default`."""
    lines = [line for line in system.log(name) if line["event"] == event and line["partition"] == "default"]
    return str(lines[-1]["at"]) if lines else ""


def dispatcher(system: Processes, names: list[str]) -> str:
    """Who dispatches: the last that has rebuilt the queue."""
    return max(names, key=lambda name: _last(system, name, "partition.requeued"))


def deadlocks(system: Processes) -> int:
    return system.stack.processes["postgres"].log.read_text(errors="replace").count("deadlock detected")


async def dispatching(run: Run) -> list[int]:
    """How many partitions each of those that dispatch any has."""
    locks = await run.fetch(
        "SELECT count(*) AS n FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' AND l.granted"
        " AND a.usename = 'headrace_scheduler' AND a.datname = current_database() GROUP BY pid"
    )
    return [row["n"] for row in locks]


async def requests(system: Processes, names: list[str]) -> dict[str, int]:
    """How many requests each scheduler has answered, by the id of its instance."""
    found: dict[str, int] = {}

    async def hear(message: Msg) -> None:
        stats = msgspec.json.decode(message.data)
        found[stats["id"]] = sum(endpoint["num_requests"] for endpoint in stats["endpoints"])

    async with connected(system) as bus:
        inbox = bus.new_inbox()
        await bus.subscribe(inbox, cb=hear)

        async def all_have() -> bool:
            await bus.publish("$SRV.STATS.scheduler", b"", reply=inbox)
            await settled(bus)
            return len(found) == len(names)

        await system.wait_until(all_have, timeout=LIMIT)
    return found


class Starts:
    """Tasks that note when they begin, in submissions of their own: chains, layers, tasks whose process dies once."""

    SUBMISSIONS, HOPS, WIDTH, DYING = 12, 8, 20, 2

    def __init__(self, edge: Edge, notes: Path) -> None:
        self._edge, self._notes = edge, notes
        self.attempts: Counter[str] = Counter()
        """What must be noted, each once."""

    def _lines(self) -> bytes:
        payload, hops, width = {"notes": str(self._notes)}, self.HOPS, self.WIDTH
        specs = [{"inputs": [f"@{n - 1}"] if n else []} for n in range(hops)]
        specs += [{"inputs": [f"@{hops - 1}"]} for _ in range(width)]
        specs += [{"options": {"function": "dies_once"}} for _ in range(self.DYING)]
        specs += [{"inputs": [f"@{n}" for n in range(hops, len(specs))]}]
        return b"".join(msgspec.json.encode({"payload": payload, **spec}) + b"\n" for spec in specs)

    async def submit(self, session: UUID) -> None:
        lines, dying = self._lines(), range(self.HOPS + self.WIDTH, self.HOPS + self.WIDTH + self.DYING)
        made = await asyncio.gather(*(self._edge.submit(session, lines) for _ in range(self.SUBMISSIONS)))
        for submission in made:
            for line in range(submission.tasks):
                for attempt in range(2 if line in dying else 1):
                    self.attempts[f"{task_id(submission.id, line)} {attempt}"] += 1

    @property
    def noted(self) -> Counter[str]:
        return Counter(self._notes.read_text().splitlines()) if self._notes.exists() else Counter()


@pytest.mark.parametrize("count", [2, 3])
async def test_several_schedulers_share_the_work(system: Processes, edge: Edge, tmp_path: Path, count: int) -> None:
    """A session that is paused and resumed, and beside it one whose tasks tell each time that they begin."""
    mix, starts, before = Mix.whole(2_500), Starts(edge, tmp_path / "notes"), deadlocks(system)
    async with schedulers(system, count) as names:
        asked = await requests(system, names)
        session = await edge.session(function="noted", max_retries=3)
        async with running(system, edge, mix.lines) as run, Watch(edge, session) as beside:
            submitting = asyncio.create_task(starts.submit(session))
            for fraction in (0.1, 0.4):
                await run.middle(fraction)
                for verb in ("pause", "resume"):
                    answer = await edge.ask("POST", f"/compute/v1/sessions/{run.session}/{verb}")
                    assert answer.status_code == 200, answer.text
            await submitting
            await run.done()
            total = len({line.split()[0] for line in starts.attempts})
            await system.wait_until(lambda: len(beside.received.results) >= total, timeout=LIMIT)
            await run.counted(mix)
            assert await edge.close_session(session) is None
            await system.wait_until(lambda: beside.received.closed, timeout=LIMIT)
            (partitions,) = await run.fetch("SELECT count(*) AS n FROM partitions")
            assert await dispatching(run) == [partitions["n"]], "one dispatches all partitions"
        assert starts.noted == starts.attempts
        received = beside.received
        assert set(received.completed.values()) == set(received.results.values()) == {1}
        assert len(received.completed) == total
        assert not received.again
        assert not received.failed
        answered = await requests(system, names)
        assert all(answered[one] > asked.get(one, 0) for one in answered), (asked, answered)
    assert deadlocks(system) == before


class Ends:
    """When each task of a session was told to have completed, on the event loop's clock."""

    def __init__(self) -> None:
        self.at: dict[UUID, float] = {}

    async def hear(self, message: Msg) -> None:
        now = asyncio.get_running_loop().time()
        for task in _frame(message.data).completed:
            self.at.setdefault(task, now)


@asynccontextmanager
async def ends(system: Processes, session: UUID) -> AsyncIterator[Ends]:
    heard = Ends()
    async with connected(system) as bus:
        await bus.subscribe(subjects.event("task", "changed", session), cb=heard.hear)
        yield heard


def chains() -> tuple[Mix, list[range]]:
    """Side by side, and which lines each of them is."""
    mix = Mix()
    for _ in range(CHAINS):
        last = mix.task(nap=NAP)
        for _ in range(HOPS - 1):
            last = mix.task(last, nap=NAP)
    return mix, [range(n * HOPS, (n + 1) * HOPS) for n in range(CHAINS)]


def went_on(run: Run, heard: Ends, lines: range, since: float) -> float:
    """When a chain's third task since then had ended, which was dispatched since then. 0: not yet."""
    ids = (task_id(run.submission.id, line) for line in lines)
    later = sorted(at for task in ids if (at := heard.at.get(task, 0.0)) > since)
    return later[2] if len(later) > 2 else 0.0


async def one_more(edge: Edge, session: UUID) -> None:
    """A submission, asked for again while nobody answers."""
    path, key = f"/compute/v1/sessions/{session}/submissions", {"Idempotency-Key": str(session)}
    line = b'{"payload":{"n":1}}\n'
    answer = await edge.ask("POST", path, content=line, headers={"Content-Type": "application/x-ndjson", **key})
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize(
    ("who", "how"), [("the dispatcher", "killed"), ("another", "killed"), ("the dispatcher", "frozen")]
)
async def test_the_others_go_on(
    system: Processes, edge: Edge, counted: Callable[[str], None], who: str, how: str
) -> None:
    (mix, lines), clock = chains(), asyncio.get_running_loop().time
    session = await edge.session(function="add")
    async with schedulers(system, 2) as names, running(system, edge, mix.lines) as run:
        async with ends(system, run.session) as heard, ends(system, session) as new:
            await run.middle(0.1)
            dispatching = dispatcher(system, names)
            victim = dispatching if who == "the dispatcher" else next(name for name in names if name != dispatching)
            since = clock()
            if how == "killed":
                await system.kill(victim)
                await one_more(edge, session)
            else:  # requests that go to it are not answered: nothing is submitted meanwhile
                system.signal(victim, signal.SIGSTOP)
            await system.wait_until(
                lambda: all(went_on(run, heard, chain, since) for chain in lines) and (new.at or how == "frozen"),
                timeout=LIMIT,
                on_timeout=run.stand,
            )
            last = max(went_on(run, heard, chain, since) for chain in lines) - since
            submitted = max(new.at.values(), default=since) - since
        if how == "killed":
            await system.restart(victim)
        else:
            system.signal(victim, signal.SIGCONT)
        await run.done()
        await run.counted(mix)
    shown = f"{CHAINS} chains went on after {last:.1f} s"
    counted(f"schedulers: {who} is {how}: {shown}" + (f", a new task {submitted:.1f} s" if how == "killed" else ""))
    assert max(last, submitted) < GOES_ON[how]
