"""The scheduler's own handlers and statements on PostgreSQL, behind the operations of the rules.

Its bus is in memory: what was put into the queue can be looked at after each operation. To add an operation: a coroutine with
the name and the arguments that it has in `rules.py`.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from services.scheduler.compute.completion.completions import Completions
from services.scheduler.compute.completion.failures import Failures
from services.scheduler.compute.completion.release import Release
from services.scheduler.compute.completion.reports import Reports
from services.scheduler.compute.removal.steps import OfSession, RemovalSteps
from services.scheduler.compute.results.handlers import Results
from services.scheduler.compute.sessions import store as sessions
from services.scheduler.compute.sessions.cleanup import Cleanup
from services.scheduler.compute.sessions.closing import Closing
from services.scheduler.compute.sessions.handlers import Sessions
from services.scheduler.compute.submissions.chunk import WithLists
from services.scheduler.compute.submissions.handlers import Submissions
from services.scheduler.compute.submissions.input_lists import InputLists
from services.scheduler.compute.tasks.cancels import Cancels
from services.scheduler.compute.tasks.queries import Queries
from services.scheduler.compute.tasks.rerun import Reruns
from services.scheduler.dispatch.leases import Leases
from services.scheduler.dispatch.pace import Pace
from services.scheduler.dispatch.partition import LiveWorker, Partition
from services.scheduler.dispatch.parts import Parts
from services.scheduler.dispatch.recount import Recount, count_outstanding
from services.scheduler.dispatch.recovery import Recovery
from services.scheduler.heavy_reads import HeavyReads
from services.scheduler.machine import SESSION
from shared.chain.context import StepContext
from shared.chain.errors import Later
from shared.chain.machine import Fault
from shared.contracts import compute as c
from shared.contracts import headers as h
from shared.contracts import ids
from shared.contracts.errors import NotFound
from shared.contracts.states import ResultStatus, SessionStatus, TaskStatus
from shared.contracts.work import Beat, Completed, Failed, Output, Report, ReportBatch, Started, TaskBatch
from shared.runtime.clock import SystemClock
from shared.service.context import Context
from shared.service.outbox import Relay
from shared.service.unit import Unit, Units
from shared.testing.bus import MemoryBroker
from shared.testing.objects import MemoryObjects
from tests.support.model.rules import Task

WORKER = "w"
PARTITION = "default"


class Wide(Pace):
    def window(self, slots: int) -> int:
        return 1_000


class Real:
    """Names are those of the rules. Begin each example with `begin`."""

    def __init__(self, broker: MemoryBroker, pool: "asyncpg.Pool[Any]", bus: Any) -> None:
        self.broker, self.pool = broker, pool
        relay = Relay(bus, pool, "scheduler")
        self.units = Units(pool, relay)
        self.parts = Parts(bus, pool, pool)
        registry, credit, gossip = self.parts.registry, self.parts.credit, self.parts.gossip
        dispatch, control = self.parts.port, self.parts.control
        clock = SystemClock()
        closing = Closing(self.units)
        release, failures = Release(dispatch, relay, closing), Failures(pool, self.units, dispatch, closing)
        completions = Completions(pool, dispatch, release, failures)
        self.reports = Reports(bus, pool, self.units, dispatch, completions, failures)
        self.leases = Leases(bus, pool, registry, credit, gossip, failures, clock, lease=60, every=1)
        nothing: Any = None  # the chains that call the steps of `removing`, and locks
        self.recount = Recount(pool, clock, gossip)
        self.recovery = Recovery(bus, pool, registry, gossip, nothing, clock, wait=0)
        cleanup = Cleanup(self.units, dispatch, control)
        self.removing = RemovalSteps(self.units, dispatch, control, cleanup, MemoryObjects())
        heavy = HeavyReads(pool)
        self.sessions = Sessions(pool, registry, dispatch, nothing, cleanup, nothing, heavy)
        self.results = Results(pool, release, failures, heavy)
        self.submissions = Submissions(self.units, registry, dispatch, release, failures, InputLists(pool, nothing))
        self.queries = Queries(pool, heavy)
        self.cancels, self.reruns = Cancels(dispatch, control), Reruns(dispatch, release)

    async def begin(self) -> None:
        """Other names, other sessions; what earlier ones left belongs to nobody, and is read no more."""
        await self.pool.execute("UPDATE scheduler.submissions SET ended = true WHERE NOT ended")
        self.session_ids: dict[int, UUID] = {}
        self.result_ids: dict[int, UUID] = {}
        self.task_ids: dict[int, UUID] = {}
        self.names: dict[UUID, int] = {}
        self.outputs: dict[int, tuple[int, ...]] = {}
        self.inner: dict[int, tuple[int, str]] = {}  # result → its submission, and how its lines name it
        self.lines: dict[int, tuple[UUID, int, int]] = {}  # submission → id, chunks, lines

    @property
    def partition(self) -> Partition:
        found = self.parts.registry.named(PARTITION)
        assert found is not None
        return found

    def widen(self) -> int:
        """The window, so wide that what is outstanding never comes near to nothing."""
        self.partition.pace = Wide()
        return self.partition.window

    # -- what can be seen

    def sent(self, start: int) -> list[tuple[int, int]]:
        """Tasks, with their attempts, that were put into the queue since message `start`."""
        return self._decode(data for subject, data in self.broker.published[start:] if subject.startswith("hr.task."))

    def queued(self) -> set[tuple[int, int]]:
        return set(self._decode(data for _, data in self.broker.messages("TASKS")))

    def _decode(self, bodies: Iterable[bytes]) -> list[tuple[int, int]]:
        batches = [msgspec.json.decode(body, type=TaskBatch) for body in bodies]
        return [(self.names[w.id], w.attempt) for batch in batches for w in batch.tasks if w.id in self.names]

    async def seen(self) -> tuple[dict[int, SessionStatus], dict[int, tuple[TaskStatus, int]], dict[int, ResultStatus]]:
        """Sessions, tasks with their attempts, and results, as users see them."""
        sessions: dict[int, SessionStatus] = {}
        tasks: dict[int, tuple[TaskStatus, int]] = {}
        results: dict[int, ResultStatus] = {}
        for name, session in self.session_ids.items():
            try:
                found = await self.sessions.get(_ctx(), c.SessionGet(session))
            except NotFound:
                sessions[name] = SessionStatus.DELETED
                continue
            sessions[name] = SessionStatus[found.status.upper()]
            for task in (await self.queries.list(_ctx(), c.TaskQuery(session=session, size=200))).items:
                tasks[self.names[task.id]] = TaskStatus[task.status.upper()], task.attempt
            for result in (await self.results.list(_ctx(), c.ResultQuery(session=session, size=500))).items:
                results[self.names[result.id]] = ResultStatus[result.status.upper()]
        return sessions, tasks, results

    async def outstanding(self) -> int:
        """How many tasks are, exactly."""
        found = await count_outstanding(self.pool, self.partition.number, 1_000_000)
        assert found is not None
        return found

    # -- operations

    async def open(self, session: int) -> None:
        asked = c.SessionCreate([PARTITION], c.Options(function="f"))
        self.session_ids[session] = (await self._write(self.sessions.create, asked)).id

    async def create(self, session: int, result: int, complete: bool) -> None:
        made = self.result_ids[result] = ids.uuid7()
        self.names[made] = result
        new = c.NewResult(id=made, data=b"1" if complete else None)
        await self._write(self.results.create, c.ResultCreate(self.session_ids[session], [new]))

    async def give(self, result: int) -> None:
        await self._write(self.results.complete, c.ResultComplete(self.result_ids[result], data=b"1"))

    async def abort(self, session: int, result: int) -> None:
        asked = c.ResultAbort(self.session_ids[session], [self.result_ids[result]], "as told")
        await self._write(self.results.abort, asked)

    async def add(self, submission: int, tasks: dict[int, Task], last: bool) -> None:
        id, chunks, first = self.lines.get(submission, (ids.submission_id(), 0, 0))
        self.lines[submission] = id, chunks + 1, first + len(tasks)
        session = self.session_ids[next(iter(tasks.values())).session]
        specs = [self._spec(submission, id, first + n, *entry) for n, entry in enumerate(tasks.items())]
        headers = {h.SESSION: str(session), h.SUBMISSION: str(id), h.CHUNK: str(chunks), h.FIRST: str(first)}
        headers |= {h.LAST: "1"} if last else {}
        body = b"\n".join(msgspec.json.encode(spec) for spec in specs)
        async with self.units.begin() as unit:
            await self.submissions.chunk(unit, _ctx(headers), WithLists(body, {}))

    def _spec(self, submission: int, id: UUID, line: int, name: int, task: Task) -> c.TaskSpec:
        self.task_ids[name] = ids.task_id(id, line)
        self.names[self.task_ids[name]], self.outputs[name] = name, task.outputs
        inputs = []
        for need in task.needs:
            home, local = self.inner.get(need, (0, ""))
            inputs.append(local if home == submission else str(self.result_ids[need]))
        claims = [self.result_ids[output] for output in task.outputs if output in self.result_ids]
        if not claims:
            for k, output in enumerate(task.outputs):
                made = self.result_ids[output] = ids.result_id(id, line, k)
                self.names[made], self.inner[output] = output, (submission, f"@{line}.{k}")
        options = c.Options(priority=task.priority, max_retries=task.retries)
        return c.TaskSpec(inputs=inputs, outputs=claims or len(task.outputs), options=options)

    async def change(self, session: int, verb: str) -> None:
        await self._write(getattr(self.sessions, verb), c.SessionRef(self.session_ids[session]))

    async def stop(self, session: int) -> None:
        await self._write(self.sessions.stop, c.SessionStop(self.session_ids[session], client=True))

    async def purge(self, session: int) -> None:
        row = await sessions.get(self.pool, self.session_ids[session])
        SESSION.check("purge", SessionStatus(row["status"]), session)
        own = self.removing
        await self._steps(session, own.stop_tasks, own.delete_objects, own.delete_values, own.mark_purged)

    async def delete(self, session: int) -> None:
        await sessions.get(self.pool, self.session_ids[session])
        own = self.removing
        await self._steps(session, own.cancel, own.stop_tasks, own.delete_objects, own.drop_rows, own.drop_session)

    async def cancel_tasks(self, session: int, names: Sequence[int]) -> None:
        asked = c.TaskCancel(self.session_ids[session], [self.task_ids[name] for name in names])
        await self._write(self.cancels.cancel, asked)

    async def rerun(self, session: int, names: Sequence[int]) -> None:
        tasks = [self.task_ids[name] for name in names]
        asked = c.TaskRerun(self.session_ids[session], tasks, ["error", "timeout", "cancelled"])
        await self._write(self.reruns.rerun, asked)

    async def dispatch(self) -> None:
        while self.partition.credit > 0 and await self.parts.dispatcher.round(self.partition):
            pass

    async def rebuild(self, held: Iterable[tuple[int, int]]) -> None:
        holds = [(self.task_ids[name], attempt) for name, attempt in held]
        self.partition.workers = {WORKER: LiveWorker(Beat(WORKER, PARTITION, 2, ["f"], holds), 1.0)}
        await self.recovery.rebuild_queue(self.partition, 0.0)
        self.partition.workers = {}

    async def report(self, said: Sequence[tuple[str, int, int, str]]) -> None:
        await self.reports.store([ReportBatch(WORKER, [self._report(*one) for one in said])])

    def _report(self, verb: str, name: int, attempt: int, kind: str) -> Report:
        task = self.task_ids[name]
        if verb == "started":
            return Started(task, attempt, WORKER)
        if verb == "failed":
            return Failed(task, attempt, kind, "as told")
        outputs = [Output(self.result_ids[output], 1, b"1") for output in self.outputs[name]]
        return Completed(task, attempt, outputs[:-1] if kind == "too few" else outputs)

    async def silent(self, name: int, attempt: int) -> None:
        task = self.task_ids[name]
        await self.leases.give_up([Failed(task, attempt, "lost", "silent")], {task: WORKER})

    # -- the rest

    async def _write(self, handler: Callable[[Unit, Context, Any], Awaitable[Any]], request: Any) -> Any:
        async with self.units.begin() as unit:
            return await handler(unit, _ctx(), request)

    async def _steps(self, session: int, *steps: Callable[[StepContext, OfSession], Awaitable[None]]) -> None:
        """A chain, up to where it has to wait."""
        for step in steps:
            ctx = StepContext(ids.uuid7(), "test", step.__name__, tries=0, fault=Fault.NONE, error="", save=_keep)
            try:
                await step(ctx, OfSession(self.session_ids[session]))
            except Later:
                return
            for work in ctx.commits:
                async with self.units.begin() as unit:
                    await work(unit)


def _ctx(headers: dict[str, str] | None = None) -> Context:
    return Context("ann", headers=headers or {})


async def _keep(state: msgspec.Struct) -> None:
    pass
