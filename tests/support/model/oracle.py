"""What must be true of each task and result in the end, and nothing of how: no queue, no turns, no chunks, no attempts in flight.

It is told what was asked and reported, judges by itself what counts, and says which states users may see.
"""

from collections.abc import Sequence

from shared.contracts.states import TaskStatus as T
from tests.support.model.rules import Task

WITH_WORKER = {T.DISPATCHED, T.PROCESSING}
ANY_TURN = {T.PENDING, T.SUBMITTED} | WITH_WORKER
FAILED = {T.ERROR, T.TIMEOUT, T.CANCELLED}


class Oracle:
    def __init__(self) -> None:
        self.session: dict[int, str] = {}
        self.tasks: dict[int, Task] = {}  # what was asked for; its `status` is not looked at
        self.attempt: dict[int, int] = {}
        self.spare: dict[int, int] = {}  # retries left
        self.end: dict[int, T] = {}
        self.stopping: set[int] = set()
        self.value: set[int] = set()
        self.lost: set[int] = set()  # results that will never have a value
        self.counted: dict[int, list[int]] = {}
        """Which attempts of a task counted as completed: at most one, ever."""

    def allowed(self, task: int) -> set[T]:
        """The states in which users may see it."""
        if task in self.end:
            return {self.end[task]}
        if task in self.stopping:
            return {T.CANCELLING}
        session = self.session[self.tasks[task].session]
        if not self.has_all(task):
            return {T.PENDING}
        return {"running": ANY_TURN, "paused": {T.PAUSED} | WITH_WORKER}.get(session, WITH_WORKER)

    def has_all(self, task: int) -> bool:
        return set(self.tasks[task].needs) <= self.value

    # -- what happens

    def add(self, tasks: dict[int, Task]) -> None:
        for name, task in tasks.items():
            self.tasks[name], self.attempt[name], self.spare[name] = task, 0, task.retries
        self.spread()

    def spread(self) -> None:
        """What waits for something lost is lost."""
        while waiting := [t for t in self.tasks if self._open(t) and self.lost & set(self.tasks[t].needs)]:
            for task in waiting:
                self._finish(task, T.ERROR)

    def change(self, session: int, verb: str, with_worker: set[int], unowned: set[int]) -> None:
        """`with_worker`: tasks that were seen there; `unowned`: results that nobody will produce any more."""
        self.session[session] = {"pause": "paused", "resume": "running"}.get(verb, verb)
        if verb not in ("close", "cancel"):
            return
        self.lost |= unowned - self.value
        for task in self._of(session):
            if task not in with_worker:
                self._finish(task, T.CANCELLED)
            elif verb == "cancel":
                self._stop(task)

    def cancel_tasks(self, tasks: Sequence[int], with_worker: set[int]) -> None:
        for task in tasks:
            if self._open(task):
                if task in with_worker:
                    self._stop(task)
                else:
                    self._finish(task, T.CANCELLED)
        self.spread()

    def settle(self, result: int, *, value: bool) -> None:
        """A result that no task produces gets a value, or never will."""
        if result not in self.value | self.lost:
            (self.value if value else self.lost).add(result)
        self.spread()

    def completed(self, task: int, attempt: int, *, whole: bool) -> None:
        if self._is_over(task, attempt) or not self.has_all(task):
            return
        if not whole:
            self._finish(task, T.ERROR)
            self.spread()
            return
        self.end[task] = T.COMPLETED
        self.counted.setdefault(task, []).append(attempt)
        self.value |= set(self.tasks[task].outputs)

    def failed(self, task: int, attempt: int, kind: str, *, begun: bool = True) -> None:
        """`begun`: whether its code ran. If not, nothing is lost with its worker."""
        if self._is_over(task, attempt) or kind == "cancelled":
            return
        live = self.session[self.tasks[task].session] in ("running", "paused")
        if kind == "lost" and not begun and live:
            self.attempt[task] += 1
            return
        if kind == "lost" and live and self.spare[task]:
            self.spare[task] -= 1
            self.attempt[task] += 1
            return
        self._finish(task, T.TIMEOUT if kind == "timeout" else T.ERROR if begun else T.CANCELLED)
        self.spread()

    def rerun(self, session: int, tasks: Sequence[int]) -> None:
        """The largest set that can have all it needs again, of these and of those that failed for want of their results."""
        again = {task for task in tasks if self.end.get(task) in FAILED}
        made: set[int] = set()
        while True:
            made = {output for task in again for output in self.tasks[task].outputs}
            wanting = {t for t, end in self.end.items() if end is T.ERROR and not self.has_all(t)}
            more = {t for t in wanting - again if made & set(self.tasks[t].needs)}
            if not more:
                break
            again |= more
        while bad := {t for t in again if set(self.tasks[t].needs) & (self.lost - made)}:
            again -= bad
            made = {output for task in again for output in self.tasks[task].outputs}
        for task in again:
            del self.end[task]
            self.attempt[task] += 1
            self.spare[task] = self.tasks[task].retries
        self.lost -= made

    def forget(self, tasks: Sequence[int]) -> None:
        """They are no more."""
        for task in tasks:
            del self.tasks[task], self.attempt[task]
            self.end.pop(task, None)
            self.stopping.discard(task)

    # -- the rest

    def _of(self, session: int) -> list[int]:
        return [t for t, task in self.tasks.items() if task.session == session and self._open(t)]

    def _open(self, task: int) -> bool:
        return task in self.tasks and task not in self.end and task not in self.stopping

    def _is_over(self, task: int, attempt: int) -> bool:
        """Whether a report of this attempt changes nothing more; the last word on a task that was to stop has come."""
        if task not in self.tasks or self.attempt[task] != attempt:
            return True
        if task in self.stopping:
            self.stopping.discard(task)
            self.end[task] = T.CANCELLED
        return not self._open(task)

    def _finish(self, task: int, state: T) -> None:
        self.end[task] = state
        self.lost |= set(self.tasks[task].outputs)

    def _stop(self, task: int) -> None:
        self.stopping.add(task)
        self.lost |= set(self.tasks[task].outputs)
