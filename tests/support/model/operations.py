"""Random operations over random graphs: on the rules, and, if there is one, on the real scheduler at the same time.

After each operation the rules have to be where the oracle allows them to be, and the real scheduler where the rules are; in the
end everything is driven to its end, which everything has to reach.
"""

from collections.abc import Callable, Coroutine, Sequence
from itertools import count
from typing import Any, ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from shared.contracts.errors import HeadraceError
from shared.contracts.states import TASK_ENDS
from shared.contracts.states import ResultStatus as R
from shared.contracts.states import SessionStatus as S
from shared.contracts.states import TaskStatus as T
from tests.support.model.oracle import Oracle
from tests.support.model.real import Real
from tests.support.model.rules import HELD, LIVE, Rules, Task

WINDOW = 8
CREDIT = st.sampled_from([0, 1, 2, WINDOW])
INDEX = st.integers(0, 30)
"""One of those that there are, whatever they are: strategies made once are many times faster than those made for each draw."""
SOME = st.lists(INDEX, min_size=1, max_size=4)
TASKS = st.lists(
    st.tuples(
        st.lists(INDEX, max_size=3),  # needs
        st.sampled_from([0, 1, 1, 2, -1]),  # outputs; -1: claims a result that is there
        st.sampled_from([1, 1, 5]),  # priority
        st.integers(0, 2),  # retries
    ),
    min_size=1,
    max_size=5,
)
Drawn = list[tuple[list[int], int, int, int]]
Report = tuple[str, int, int, str]
SAYS = st.sampled_from(
    [("completed", "")] * 5
    + [("started", "")] * 3
    + [("completed", "too few"), ("failed", "error"), ("failed", "timeout")]
    + [("failed", "lost"), ("failed", "lost"), ("failed", "cancelled")]
)
VERBS = st.sampled_from(["purge", "stop", "delete", "cancel", "close"] + ["pause", "resume"] * 3)
One = TypeVar("One")


def pick(there: Sequence[One], index: int) -> One:
    return there[index % len(there)]


def some(there: Sequence[One], indexes: Sequence[int]) -> list[One]:
    """These, each once."""
    return list(dict.fromkeys(pick(there, index) for index in indexes)) if there else []


class Operations(RuleBasedStateMachine):
    real: ClassVar[Real | None] = None
    run: ClassVar[Callable[[Coroutine[Any, Any, Any]], Any]]
    done: ClassVar[dict[str, int]] = {}
    """How many operations of each kind there were, and `examples`."""

    def __init__(self) -> None:
        super().__init__()
        self.rules, self.oracle = Rules(), Oracle()
        self.names = count()
        self.sent: list[tuple[int, int]] = []  # tasks that were ever in the queue, with the attempt
        self.open: dict[int, int] = {}  # submissions that are not complete, with their session
        self.visible: set[int] = set()
        self.fine = True
        if self.real:
            self.run(self.real.begin())
        self.open_session()

    # -- the operations

    @precondition(lambda self: len(self.rules.sessions) < 3)
    @rule()
    def open_session(self) -> None:
        session = next(self.names)
        self.oracle.session[session] = "running"
        self.do("open", session)

    @rule(session=INDEX, complete=st.booleans())
    def create(self, session: int, complete: bool) -> None:
        result = next(self.names)
        if self.do("create", self.any_session(session), result, complete) and complete:
            self.oracle.value.add(result)

    # Made before anything else is: an example without tasks shows nothing.
    @initialize(tasks=TASKS, credit=CREDIT)
    def first(self, tasks: Drawn, credit: int) -> None:
        self.submit(0, tasks, 0, True, credit)
        self.dispatch(WINDOW)

    @rule(session=INDEX, tasks=TASKS, goes_on=INDEX, last=st.sampled_from([True, True, False]), credit=CREDIT)
    def submit(self, session: int, tasks: Drawn, goes_on: int, last: bool, credit: int) -> None:
        """A whole submission, or a chunk of one."""
        session = self.any_session(session)
        known = [n for n, of in self.open.items() if of == session]
        submission = pick(known, goes_on) if known and goes_on % 4 else next(self.names)
        self.add_submission(session, submission, self._tasks(tasks, session, submission), last, credit)

    def add_submission(self, session: int, submission: int, tasks: dict[int, Task], last: bool, credit: int) -> None:
        if not self.do("add", submission, tasks, last, credit=credit):
            self.oracle.forget([t for t, task in self.oracle.tasks.items() if task.submission == submission])
            self.open.pop(submission, None)
        else:
            self.oracle.add(tasks)
            self.open[submission] = session
            if last:
                del self.open[submission]
                self.visible.add(submission)
        self.check()

    def _tasks(self, drawn: Drawn, session: int, submission: int) -> dict[int, Task]:
        results = {name: result for name, result in self.rules.results.items() if result.session == session}
        there = [n for n, r in results.items() if self._may_need(r.owner, submission)]
        free = [n for n, r in results.items() if r.standalone and r.owner is None and r.status is R.CREATED]
        # Its own, aborted meanwhile: what waits for them fails when the submission is complete, and claims nothing until then.
        doomed = {n for n in there if results[n].status is R.ABORTED}
        tasks: dict[int, Task] = {}
        for indexes, made, priority, retries in drawn:
            needs = some(there, indexes)
            fails = bool(doomed & set(needs))
            if made < 0 and free and not fails:
                outputs = [free.pop()]
            else:
                outputs = [next(self.names) for _ in range(abs(made))]
                there += outputs
                doomed |= set(outputs) if fails else set()
            tasks[next(self.names)] = Task(session, tuple(needs), tuple(outputs), priority, retries, submission)
        return tasks

    def _may_need(self, owner: int | None, submission: int) -> bool:
        """Results of submissions that nobody can see yet are nobody's to name."""
        return owner is None or self.rules.tasks[owner].submission in self.visible | {submission}

    @precondition(lambda self: self.shown_results())
    @rule(index=INDEX, value=st.sampled_from([True, True, False]), credit=CREDIT)
    def settle(self, index: int, value: bool, credit: int) -> None:
        result = pick(self.shown_results(), index)
        ask = ("give", result) if value else ("abort", self.rules.results[result].session, result)
        if self.do(*ask, credit=credit):
            self.oracle.settle(result, value=value)
        self.check()

    @rule(credit=CREDIT)
    def dispatch(self, credit: int) -> None:
        ready, before = self.rules.ready(), len(self.sent)
        self.do("dispatch", credit=credit)
        chosen = [name for name, _ in self.sent[before:]]
        assert len(chosen) == min(credit, len(ready)), f"{ready} were ready, {chosen} were chosen of {credit}"
        assert len(set(chosen)) == len(chosen), "chosen twice at once"
        left = [self.rules.tasks[name].priority for name in set(ready) - set(chosen)]
        assert all(self.rules.tasks[name].priority >= most for name in chosen for most in left)
        self.check()

    @precondition(lambda self: self.sent)
    @rule(copies=st.lists(st.tuples(INDEX, SAYS), min_size=1, max_size=4), credit=CREDIT)
    def report(self, copies: list[tuple[int, tuple[str, str]]], credit: int) -> None:
        """Of copies that were ever in the queue, the newest first: late ones, repeated ones, those of earlier attempts."""
        said: dict[int, Report] = {}
        for index, (verb, kind) in copies:
            name, attempt = pick(self.sent[::-1], index)
            if kind == "too few" and not (name in self.rules.tasks and self.rules.tasks[name].outputs):
                kind = ""
            said.setdefault(name, (verb, name, attempt, kind))
        self._report(list(said.values()), credit)

    @precondition(lambda self: self.sent)
    @rule(copies=st.lists(st.tuples(INDEX, SAYS), min_size=1, max_size=4), credit=CREDIT)
    def report_more(self, copies: list[tuple[int, tuple[str, str]]], credit: int) -> None:
        """Twice as often as the others."""
        self.report(copies, credit)

    def _report(self, said: Sequence[Report], credit: int) -> None:
        said = sorted(said, key=lambda one: ("started", "completed", "failed").index(one[0]))
        self.do("report", said, credit=credit)
        for verb, name, attempt, kind in said:
            if verb == "completed":
                self.oracle.completed(name, attempt, whole=kind != "too few")
            elif verb == "failed":
                self.oracle.failed(name, attempt, kind)
        self.check()

    @precondition(lambda self: self.with_worker() or self.stopping())
    @rule(index=INDEX)
    def lease_ends(self, index: int) -> None:
        self.end_lease(pick(sorted(self.with_worker() | self.stopping()), index))

    def end_lease(self, name: int) -> None:
        task = self.rules.tasks[name]
        begun, attempt = task.status is not T.DISPATCHED, task.attempt
        self.do("silent", name, attempt)
        self.oracle.failed(name, attempt, "lost", begun=begun)
        self.check()

    @rule(session=INDEX, verb=VERBS)
    def change_more(self, session: int, verb: str) -> None:
        """Twice as often as the others."""
        self.change(session, verb)

    @rule(session=INDEX, verb=VERBS)
    def change(self, session: int, verb: str) -> None:
        session = self.any_session(session)
        if verb == "stop":
            self.do("stop", session)
            self.check()
        elif verb in ("purge", "delete"):
            self._remove(session, verb)
        else:
            self.change_session(session, verb)

    def change_session(self, session: int, verb: str) -> None:
        held, unowned = self.with_worker(), self._unowned(session)
        if self.do("change", session, verb):
            self.oracle.change(session, verb, held, unowned)
        self.check()

    def _remove(self, session: int, verb: str) -> None:
        held, unowned = self.with_worker(), self._unowned(session)
        own = [name for name, task in self.oracle.tasks.items() if task.session == session]
        if self.do(verb, session):
            if self.oracle.session[session] != "cancel":  # purging stops what still runs, deleting cancels first
                self.oracle.change(session, "cancel", held, unowned)
            if self.rules.sessions[session].status is S.DELETED:
                self.oracle.forget(own)
        self.check()

    @precondition(lambda self: self.shown_tasks())
    @rule(session=INDEX, indexes=SOME)
    def cancel_tasks(self, session: int, indexes: list[int]) -> None:
        session, held = self.any_session(session), self.with_worker()
        names = some(self._tasks_of(session), indexes)
        if names and self.do("cancel_tasks", session, names):
            self.oracle.cancel_tasks(names, held)
        self.check()

    @precondition(lambda self: self.shown_tasks())
    @rule(session=INDEX, indexes=SOME, credit=CREDIT)
    def rerun(self, session: int, indexes: list[int], credit: int) -> None:
        session = self.any_session(session)
        names = some(self._tasks_of(session), indexes)
        if names and self.do("rerun", session, names, credit=credit):
            self.oracle.rerun(session, names)
        self.check()

    def _tasks_of(self, session: int) -> list[int]:
        return [name for name in self.shown_tasks() if self.rules.tasks[name].session == session]

    @rule(indexes=st.lists(INDEX, max_size=3))
    def rebuild(self, indexes: list[int]) -> None:
        """The dispatcher is another process now, or the bus's storage was lost. What workers say that they hold is theirs."""
        self.rebuild_queue(list({name: (name, attempt) for name, attempt in some(self.sent[::-1], indexes)}.values()))

    def rebuild_queue(self, held: list[tuple[int, int]]) -> None:
        self.do("rebuild", held)
        self.check()

    # -- both at once

    def do(self, verb: str, *arguments: Any, credit: int = 0) -> bool:
        """Whether it was done; both have to refuse the same. What was chosen with it is told to the rules."""
        self.fine = False
        self.done[verb] = self.done.get(verb, 0) + 1
        really, sent = self.run(self._really(credit, verb, arguments)) if self.real else (None, None)
        before = set(self.rules.ready())
        why: HeadraceError | None = None
        try:
            getattr(self.rules, verb)(*arguments)
        except HeadraceError as error:
            why = error
        if self.real:
            assert (really is None) == (why is None), f"{verb}: really {really!r}, by the rules {why!r}"
        else:
            free = [name for name in self.rules.ready() if verb == "dispatch" or name not in before]
            sent = [(name, self.rules.tasks[name].attempt) for name in free[:credit]]
        assert len(sent) <= credit
        assert all(self.rules.tasks[name].attempt == attempt for name, attempt in sent)
        self.rules.choose(name for name, _ in sent)
        self.sent += sent
        self.fine = True
        return why is None

    async def _really(
        self, credit: int, verb: str, arguments: Sequence[Any]
    ) -> tuple[HeadraceError | None, list[tuple[int, int]]]:
        real = self.real
        assert real is not None
        real.partition.dispatched_here = True
        real.partition.outstanding = real.widen() - credit
        counted = real.partition.outstanding - await real.outstanding()
        start = len(real.broker.published)
        why: HeadraceError | None = None
        try:
            await getattr(real, verb)(*arguments)
        except HeadraceError as error:
            why = error
        assert real.partition.dispatched_here, "an effect failed"
        await self._check_outstanding(real, verb, counted)
        return why, real.sent(start)

    async def _check_outstanding(self, real: Real, verb: str, before: int) -> None:
        """`before`: how many more were counted as outstanding than are. Only the late report of a task that had been taken back
        counts twice; a quiet moment sets it right."""
        now = await real.outstanding()
        drift = real.partition.outstanding - now - (0 if verb == "rebuild" else before)
        assert drift == 0 or (verb == "report" and drift < 0), f"{verb}: {drift} too many outstanding"
        if drift:
            real.partition.recounted_at = 0.0
            for _ in range(2):
                real.partition.changed_at = -1.0
                await real.recount.count(real.partition)
            assert real.partition.outstanding == now

    def check(self) -> None:
        self.fine = False
        for name in self.shown_tasks():
            shown, allowed = self.rules.shown(name), self.oracle.allowed(name)
            assert shown in allowed, f"task {name} is {shown.name}, not {allowed}"
            assert len(self.oracle.counted.get(name, ())) <= 1, f"task {name} was completed twice"
        for name in self.shown_results():
            result = self.rules.results[name]
            if result.status is not R.DELETED:
                assert (result.status is R.COMPLETED) == (name in self.oracle.value), f"result {name}"
                assert (result.status is R.ABORTED) == (name in self.oracle.lost), f"result {name}"
        if self.real:
            self._compare(self.real)
        self.fine = True

    def _compare(self, real: Real) -> None:
        sessions, tasks, results = self.run(real.seen())
        assert sessions == {name: session.status for name, session in self.rules.sessions.items()}
        assert tasks == {name: (self.rules.shown(name), self.rules.tasks[name].attempt) for name in self.shown_tasks()}
        assert results == {name: self.rules.results[name].status for name in self.shown_results()}
        queued = real.queued()
        for name in self.shown_tasks():
            if self.rules.shown(name) is T.SUBMITTED:
                assert (name, self.rules.tasks[name].attempt) in queued, (
                    f"task {name} is SUBMITTED and not in the queue"
                )

    # -- what there is

    def any_session(self, index: int) -> int:
        """One that is not deleted, more often one that is live."""
        live = [name for name, session in self.rules.sessions.items() if session.status in LIVE]
        there = [name for name, session in self.rules.sessions.items() if session.status is not S.DELETED]
        if not there:
            self.open_session()
            return max(self.rules.sessions)
        return pick(live * 3 + there, index)

    def shown_tasks(self) -> list[int]:
        return [name for name, task in self.rules.tasks.items() if task.submission in self.visible]

    def shown_results(self) -> list[int]:
        tasks = self.rules.tasks
        return [
            name
            for name, result in self.rules.results.items()
            if result.standalone or (result.owner is not None and tasks[result.owner].submission in self.visible)
        ]

    def with_worker(self) -> set[int]:
        return {name for name, task in self.rules.tasks.items() if task.status in HELD}

    def stopping(self) -> set[int]:
        return {name for name, task in self.rules.tasks.items() if task.status is T.CANCELLING}

    def _unowned(self, session: int) -> set[int]:
        return {n for n, r in self.rules.results.items() if r.session == session and r.owner is None}

    # -- the end

    def teardown(self) -> None:
        if self.fine:
            self._to_the_end()
            self.done["examples"] = self.done.get("examples", 0) + 1

    def _to_the_end(self) -> None:
        for submission, session in list(self.open.items()):
            self.add_submission(session, submission, {next(self.names): Task(session, submission=submission)}, True, 0)
        for session in [n for n, found in self.rules.sessions.items() if found.status is S.PAUSED]:
            self.change_session(session, "resume")
        for name in self.shown_results():
            result = self.rules.results[name]
            live = self.rules.sessions[result.session].status in LIVE
            if live and result.owner is None and result.status is R.CREATED and self.do("give", name):
                self.oracle.settle(name, value=True)
        for _ in range(len(self.rules.tasks) + 1):
            self.dispatch(WINDOW)
            under_way = [*self.with_worker(), *self.stopping()]
            under_way += [name for name, task in self.rules.tasks.items() if task.status is T.SUBMITTED]
            if not under_way:
                break
            self._report([("completed", n, self.rules.tasks[n].attempt, "") for n in sorted(set(under_way))], WINDOW)
        for name in self.shown_tasks():
            assert self.rules.tasks[name].status in TASK_ENDS, (
                f"task {name} is {self.rules.tasks[name].status.name} for ever"
            )
