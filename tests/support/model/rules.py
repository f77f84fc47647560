"""What the scheduler decides, as rules on plain objects: no database, no bus, no rows, lanes or cursors.

Sessions, tasks and results have small numbers for names. Each operation is one transaction of the scheduler; each change of a
state goes through the transition tables, so that one which they do not have is an error (Conflict). What users would be
refused is an error too, and changes nothing but the submission that it refuses.

`tests/property/test_operations.py` holds these rules against a smaller model and against the scheduler's own statements;
`tests/support/model/explorer.py` walks through all that they allow.
"""

from collections.abc import Iterable, Sequence

import msgspec

from services.scheduler.machine import RESULT, SESSION, TASK
from shared.contracts.errors import Conflict, NotFound
from shared.contracts.states import ResultStatus as R
from shared.contracts.states import SessionStatus as S
from shared.contracts.states import TaskStatus as T

LIVE = (S.RUNNING, S.PAUSED)
HELD = frozenset(T(state) for state in TASK.sources("stop"))
"""States of tasks that a worker is known to hold."""


class Session(msgspec.Struct):
    status: S = S.RUNNING
    takes: bool = True  # submissions


class Result(msgspec.Struct):
    session: int
    status: R = R.CREATED
    owner: int | None = None  # the task that produces it
    standalone: bool = False


class Task(msgspec.Struct):
    session: int
    needs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()
    priority: int = 1
    retries: int = 2
    submission: int = 0
    status: T = T.CREATING
    attempt: int = 0
    uncounted: int = 0  # attempts that do not count against `retries`


class Rules:
    def __init__(self) -> None:
        self.sessions: dict[int, Session] = {}
        self.results: dict[int, Result] = {}
        self.tasks: dict[int, Task] = {}

    # -- what can be asked

    def unmet(self, task: Task) -> list[int]:
        return [need for need in task.needs if self.results[need].status is not R.COMPLETED]

    def ready(self) -> list[int]:
        """Tasks that may be chosen now, in the order in which their turn comes (of sessions that are equal)."""
        found = [
            name
            for name, task in self.tasks.items()
            if task.status is T.PENDING and not self.unmet(task) and self.sessions[task.session].status is S.RUNNING
        ]
        return sorted(found, key=lambda name: (-self.tasks[name].priority, name))

    def shown(self, name: int) -> T:
        """A task's state as users see it: PAUSED is not written anywhere."""
        task = self.tasks[name]
        paused = self.sessions[task.session].status is S.PAUSED
        return T.PAUSED if paused and task.status is T.PENDING and not self.unmet(task) else task.status

    def of(self, session: int, states: Iterable[T]) -> list[int]:
        wanted = set(states)
        return [n for n, task in self.tasks.items() if task.session == session and task.status in wanted]

    # -- what users do

    def open(self, session: int) -> None:
        self.sessions[session] = Session()

    def create(self, session: int, result: int, complete: bool) -> None:
        self._live(session)
        self.results[result] = Result(session, R.COMPLETED if complete else R.CREATED, standalone=True)

    def give(self, result: int) -> None:
        """A value for a result that no task produces."""
        self._live(self.results[result].session)
        self._unowned(result)
        if self.results[result].status is not R.COMPLETED:  # the same value again is harmless
            self._mark(result, "complete")

    def abort(self, session: int, result: int) -> None:
        self._unowned(result)
        if self.results[result].status is R.CREATED:
            self._mark(result, "abort")
            self._cascade()

    def add(self, submission: int, tasks: dict[int, Task], last: bool) -> None:
        """A chunk of a submission. Outputs that are not known yet are made; those that are, claimed."""
        try:
            self._add(submission, tasks)
            mine = [name for name, task in self.tasks.items() if task.submission == submission]
            if last and any(self._waits_for_itself(name) for name in mine):
                raise Conflict(f"a task of submission {submission} would wait for itself")
        except (Conflict, NotFound):
            self._discard(submission)
            raise
        if last:
            for task in self.tasks.values():
                if task.submission == submission and task.status is T.CREATING:
                    self._move(task, "show")
            self._cascade()

    def turn(self, session: int, verb: str) -> None:
        """A session's change of state. What it entails is a transaction of its own: `follow`."""
        found = self.sessions[session]
        found.status = SESSION.check(verb, found.status, session)
        found.takes = found.takes and found.status in LIVE

    def follow(self, session: int) -> None:
        status = self.sessions[session].status
        if status is S.PAUSED:
            for name in self.of(session, (T.SUBMITTED, T.DISPATCHED)):
                self._move(self.tasks[name], "take back")
        elif status is S.CLOSED:
            self._end_all(session, TASK.moves["cancel"][0])
        elif status is S.CANCELLED:
            self._end_all(session, TASK.moves["cancel"][0] | HELD)

    def change(self, session: int, verb: str) -> None:
        """Pause, resume, close or cancel."""
        self.turn(session, verb)
        self.follow(session)

    def stop(self, session: int) -> None:
        self.sessions[session].takes = False

    def purge(self, session: int) -> bool:
        """As far as it comes: if workers have to stop first (False), it is to be asked again."""
        SESSION.check("purge", self.sessions[session].status, session)
        self._end_all(session, HELD)
        if self.of(session, [T.CANCELLING]):
            return False
        for name, result in self.results.items():
            if result.session == session and result.status is not R.DELETED:
                self._mark(name, "delete")
        self.turn(session, "purge")
        return True

    def delete(self, session: int) -> bool:
        status = self.sessions[session].status
        if status in SESSION.moves["cancel"][0]:
            self.change(session, "cancel")
        if status is not S.PURGED and not self.purge(session):
            return False
        self.turn(session, "delete")
        self.tasks = {name: task for name, task in self.tasks.items() if task.session != session}
        self.results = {name: result for name, result in self.results.items() if result.session != session}
        return True

    def cancel_tasks(self, session: int, names: Sequence[int]) -> None:
        for name in names:
            self._cancel(self.tasks[name])
        self._cascade()

    def rerun(self, session: int, names: Sequence[int]) -> None:
        """These, and those that ended only because of them; not those whose needs can never come."""
        self._live(session)
        again = {name for name in names if self.tasks[name].status in TASK.moves["rerun"][0]}
        while True:
            made = {output for name in again for output in self.tasks[name].outputs}
            more = {
                name
                for name, task in self.tasks.items()
                if task.status is T.ERROR and self.unmet(task) and made & set(task.needs)
            }
            if more <= again:
                break
            again |= more
        while hopeless := {name for name in again if self._hopeless(self.tasks[name], again)}:
            again -= hopeless
        for name in sorted(again):
            task = self.tasks[name]
            self._move(task, "rerun")
            task.attempt = task.uncounted = task.attempt + 1
            for output in task.outputs:
                self._mark(output, "expect")

    # -- what the dispatcher does

    def choose(self, names: Iterable[int]) -> None:
        """These go to the queue."""
        for name in names:
            task = self.tasks[name]
            if self.unmet(task) or self.sessions[task.session].status is not S.RUNNING:
                raise Conflict(f"task {name} is not ready: {task}")
            self._move(task, "choose")

    def dispatch(self) -> None:
        """A round of turns: what comes of it is told to `choose`."""

    def rebuild(self, held: Iterable[tuple[int, int]]) -> None:
        """The queue is lost, or nobody knows it: what workers hold is theirs, the rest waits again."""
        for name, attempt in held:
            task = self.tasks.get(name)
            if task and self._counts(task, attempt, "hold"):
                self._move(task, "hold")
        for task in self.tasks.values():
            if task.status is T.SUBMITTED:
                self._move(task, "take back")

    # -- what workers report, and what becomes of those that do not

    def report(self, said: Sequence[tuple[str, int, int, str]]) -> None:
        """What workers say at once, of one task each: first what started, then what completed, then what failed."""
        for verb, name, attempt, kind in sorted(said, key=lambda one: ("started", "completed", "failed").index(one[0])):
            if verb == "completed":
                self.completed(name, attempt, whole=kind != "too few")
            elif verb == "failed":
                self.failed(name, attempt, kind)
            else:
                self.started(name, attempt)

    def started(self, name: int, attempt: int) -> None:
        task = self.tasks.get(name)
        if task and self._counts(task, attempt, "start"):
            self._move(task, "start")

    def completed(self, name: int, attempt: int, *, whole: bool = True) -> None:
        """`whole`: with the values of all its outputs. Its worker has failed otherwise."""
        task = self.tasks.get(name)
        if not task or self._stopped(task, attempt) or not self._counts(task, attempt, "complete"):
            return
        if not whole:
            self.failed(name, attempt, "error")
            return
        self._move(task, "complete")
        for output in task.outputs:
            self._mark(output, "complete")

    def failed(self, name: int, attempt: int, kind: str) -> None:
        """`kind`: as in Failed: error, timeout, lost, cancelled."""
        task = self.tasks.get(name)
        if not task or self._stopped(task, attempt) or kind == "cancelled":
            return
        left = task.attempt - task.uncounted < task.retries and self.sessions[task.session].status in LIVE
        if kind == "lost" and left and self._counts(task, attempt, "retry"):
            self._move(task, "retry")
            task.attempt += 1
            return
        verb = "time out" if kind == "timeout" else "fail"
        if task.attempt == attempt and task.status in TASK.moves[verb][0]:
            self._end(task, verb)
            self._cascade()

    def silent(self, name: int, attempt: int) -> None:
        """The worker that was known to hold it holds it no more. What it had not begun loses no attempt."""
        task = self.tasks.get(name)
        if not task or task.status is not T.DISPATCHED or task.attempt != attempt:
            self.failed(name, attempt, "lost")
        elif self.sessions[task.session].status in LIVE:
            self._move(task, "take back")
            task.attempt, task.uncounted = task.attempt + 1, task.uncounted + 1
        else:
            self._end(task, "stop")
            self._move(task, "stopped")

    # -- the rest

    def _counts(self, task: Task, attempt: int, verb: str) -> bool:
        """Whether a report is about the attempt that is under way, and new."""
        return task.attempt == attempt and task.status in TASK.moves[verb][0] and not self.unmet(task)

    def _move(self, task: Task, verb: str) -> None:
        task.status = TASK.check(verb, task.status)

    def _mark(self, result: int, verb: str) -> None:
        self.results[result].status = RESULT.check(verb, self.results[result].status, result)

    def _live(self, session: int) -> None:
        if self.sessions[session].status not in LIVE:
            raise Conflict(f"session {session} is {self.sessions[session].status.name}")

    def _unowned(self, result: int) -> None:
        if self.results[result].owner is not None:
            raise Conflict(f"result {result} is produced by a task")

    def _end(self, task: Task, verb: str) -> None:
        """Without its outputs."""
        self._move(task, verb)
        for output in task.outputs:
            if self.results[output].status is R.CREATED:
                self._mark(output, "abort")

    def _cascade(self) -> None:
        """Whatever waits for what will never come ends."""
        while True:
            found = [
                task
                for task in self.tasks.values()
                if task.status in (T.CREATING, T.PENDING)
                and any(self.results[need].status is R.ABORTED for need in task.needs)
            ]
            if not found:
                return
            for task in found:
                self._end(task, "fail")

    def _cancel(self, task: Task) -> None:
        if task.status in HELD:
            self._end(task, "stop")
        elif task.status in TASK.moves["cancel"][0]:
            self._end(task, "cancel")

    def _stopped(self, task: Task, attempt: int) -> bool:
        if task.status is not T.CANCELLING or task.attempt != attempt:
            return False
        self._move(task, "stopped")
        return True

    def _end_all(self, session: int, states: Iterable[T]) -> None:
        for name in self.of(session, states):
            self._cancel(self.tasks[name])
        for name, result in self.results.items():
            if result.session == session and result.owner is None and result.status is R.CREATED:
                self._mark(name, "abort")

    def _add(self, submission: int, tasks: dict[int, Task]) -> None:
        session = next(iter(tasks.values())).session
        self._live(session)
        if not self.sessions[session].takes:
            raise Conflict(f"session {session} takes no submissions")
        for name, task in tasks.items():
            for need in task.needs:
                found = self.results.get(need)
                if found is None or found.session != session:
                    raise NotFound(f"no result {need}")
                inner = found.owner is not None and self.tasks[found.owner].submission == submission
                if found.status in (R.ABORTED, R.DELETED) and not inner:
                    raise Conflict(f"result {need} is {found.status.name}")
            task.submission, task.status = submission, T.CREATING
            self.tasks[name] = task
            for output in task.outputs:
                found = self.results.setdefault(output, Result(session))
                if found.owner is not None or found.status is not R.CREATED:
                    raise Conflict(f"result {output} cannot be an output")
                found.owner = name

    def _waits_for_itself(self, name: int) -> bool:
        seen: set[int] = set()
        todo = [name]
        while todo:
            for need in self.tasks[todo.pop()].needs:
                owner = self.results[need].owner
                if owner == name:
                    return True
                if owner is not None and owner not in seen:
                    seen.add(owner)
                    todo.append(owner)
        return False

    def _discard(self, submission: int) -> None:
        """A submission that is not complete leaves nothing behind."""
        mine = [n for n, task in self.tasks.items() if task.submission == submission]
        for name in mine:
            del self.tasks[name]
        for name, result in list(self.results.items()):
            if result.owner in mine and not result.standalone:
                del self.results[name]
            elif result.owner in mine:
                result.owner = None

    def _hopeless(self, task: Task, again: set[int]) -> bool:
        for need in task.needs:
            result = self.results[need]
            if result.status is R.DELETED or (result.status is R.ABORTED and result.owner not in again):
                return True
        return False
