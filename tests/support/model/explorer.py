"""Every interleaving of tasks, two schedulers, their workers and the bus, one atomic step at a time.

What is decided in a transaction is decided by the rules (`rules.py`). Around it, as in the code, are the steps between which a
process may die or another may act:

    a completer    takes a report from the stream · commits what follows from it, choosing what it released if the dispatcher
                   is its own process and has credit · publishes what it chose · acknowledges the report
    a dispatcher   commits what it chose of what is ready · publishes it
    a recovery     takes the lock that nobody has and asks the workers what they hold · empties the queue · commits: what was
                   chosen and is held by nobody waits again
    a worker       takes a message · (its code has run for a while: reports that it started) · reports the end, and acknowledges
    a session      changes its state · its queue is emptied · what that entails is committed
    a lease        ends for what a worker was known to hold, when it holds it no more and no report of it is under way

Of what may go wrong each walk has its measure: crashes of a scheduler at any moment (its locks and what it had not committed or
published are gone, its unacknowledged reports come again), messages delivered twice, errors of tasks, workers that die, a verb
on the session. Events are left out: the outbox tells them after the commit, and no step here reads them.

States are compared up to renaming the two schedulers, and tasks that the graph does not tell apart. How often a walk passes a
state does not matter for what can happen from there, so each is left once: that covers all interleavings through it.
"""

from collections.abc import Iterator
from itertools import combinations, permutations
from typing import Final

import msgspec

from shared.contracts.errors import Conflict
from shared.contracts.states import TASK_ENDS
from shared.contracts.states import ResultStatus as R
from shared.contracts.states import SessionStatus as S
from shared.contracts.states import TaskStatus as T
from tests.support.model.rules import Result, Rules, Session, Task

Graph = tuple[tuple[int, ...], ...]
"""For each task the earlier ones that it needs."""


class Measure(msgspec.Struct, frozen=True):
    """How much may go wrong, and what the session's owner does."""

    crashes: int = 1
    repeats: int = 0
    """Messages that a worker has and another gets as well."""
    errors: int = 0
    deaths: int = 0
    """Workers that die with what they hold."""
    verbs: tuple[str, ...] = ()
    slow: bool = False
    """Whether tasks run so long that they are reported as started."""
    coarse: bool = False
    """Whether a report is taken and committed in one step, and acknowledged in the step before if nobody can die any more.
    That leaves nothing out: who dies with an uncommitted report has changed nothing, and what acknowledging it does can be
    seen by no other step."""


class Broken(msgspec.Struct, frozen=True):
    """A rule broken on purpose, to see that it is found."""

    forgets: bool = False  # recovery does not make wait again what was chosen
    early: bool = False  # a report is acknowledged before its commit


class Found(msgspec.Struct, frozen=True):
    states: int
    interleavings: int
    problem: str = ""
    path: tuple[str, ...] = ()
    ends: frozenset[tuple[int, ...]] = frozenset()
    """How it can end: the tasks' states."""


# A task in one number: its row (state, attempt), then what of it is under way, for each of two attempts.
ROW: Final = 5
"""Bits of the row: four of the state, one of the attempt."""
_QUEUED: Final = (5, 7)  # two bits each: copies in the queue
_HELD: Final = (9, 11)  # two bits: copies that workers have
_BEGUN: Final = (13, 14)  # a worker's copy is known to run
_SAID: Final = ((15, 17), (19, 20), (21, 22))  # reports in the stream: completed (two bits), error, started
_TAKEN: Final = (23, 27)  # what each scheduler has in hand: 0, or 1 + 2 · kind + attempt; bit 3: committed
_RELEASED, _CHOSEN, _KNOWN = (
    31,
    32,
    33,
)  # to be published by the completer, by the dispatcher; workers said they hold it
COMPLETED, ERROR, STARTED = 0, 1, 2
_WAYS: Final = ((1 << _TAKEN[0]) - 1) & ~((1 << ROW) - 1)  # anything on the bus or with a worker
_IN_HAND: Final = tuple(15 << at for at in _TAKEN)
_MINE: Final = 1 << _RELEASED | 1 << _CHOSEN | 1 << _KNOWN

State = tuple[int, ...]
"""Session, what it owes (1: all, 2: but its queue is empty), recovery (0: nobody has the lock, 1: asked, 2: emptied, 3: dispatches),
crashes, repeats, errors, deaths and verbs left; then the tasks. Scheduler 0 is the one with the lock."""
SESSION, OWED, RECOVERY, CRASHES, REPEATS, ERRORS, DEATHS, VERBS, HEAD = range(9)


class Explorer:
    """The walk over one graph."""

    def __init__(
        self, graph: Graph, measure: Measure, broken: Broken | None = None, rules: type[Rules] = Rules
    ) -> None:
        self.graph, self.measure, self.broken, self._rules = graph, measure, broken or Broken(), rules
        self._decided: dict[tuple[object, ...], tuple[int, tuple[int, ...], tuple[int, ...]]] = {}
        self._twins = _twins(graph)

    def start(self) -> State:
        m = self.measure
        ready = int(T.PENDING)
        head = (int(S.RUNNING), 0, 3, m.crashes, m.repeats, m.errors, m.deaths, len(m.verbs))
        return head + (ready,) * len(self.graph)

    def walk(self, limit: int = 10_000_000) -> Found:
        """Everything that can be reached. Stops at the first problem, and says how it came about."""
        start = self.start()
        number = {start: 0}
        states, came, after = [start], [(-1, "")], []
        ends: set[int] = set()
        for at, state in enumerate(states):  # it grows
            own: list[int] = []
            going = False
            try:
                for label, goes_on, following in self._steps(state):
                    going = going or goes_on
                    following = self._same(following)
                    known = number.get(following)
                    if known is None:
                        known = number[following] = len(states)
                        states.append(following)
                        came.append((at, label))
                    own.append(known)
            except Conflict as error:
                return Found(len(states), 0, f"done twice: {error}", _path(came, at))
            if not going:
                if why := _unfinished(state):
                    return Found(len(states), 0, why, _path(came, at))
                ends.add(at)
            after.append(own)
            if len(states) > limit:
                raise RuntimeError(f"more than {limit} states")
        ways = _ways(after, ends)
        if ways is None:
            return Found(len(states), 0, "it can go round for ever")
        rows = frozenset(tuple(task & 15 for task in states[at][HEAD:]) for at in ends)
        return Found(len(states), ways, ends=rows)

    # -- one step from a state: what it is called, whether it gets things done, where it leads

    def _steps(self, state: State) -> Iterator[tuple[str, bool, State]]:
        for n in range(HEAD, len(state)):
            if state[n] & _WAYS:
                yield from self._worker(state, n)
                yield from self._take(state, n)
            elif state[n] & 15 in (T.DISPATCHED, T.PROCESSING, T.CANCELLING) and not _in_hand(state[n]):
                yield f"lease of {n - HEAD} ends", True, self._decide(state, "silent", n - HEAD, _attempt(state[n]))
        for who in (0, 1):
            for n in range(HEAD, len(state)):
                if state[n] & _IN_HAND[who]:
                    yield from self._complete(state, who, n)
        yield from self._dispatch(state)
        yield from self._recover(state)
        yield from self._owner(state)
        if state[CRASHES]:
            for who in (0, 1):
                if (who == 0 and state[RECOVERY]) or any(task & _IN_HAND[who] for task in state[HEAD:]):
                    yield f"scheduler {who} dies", False, self._crash(state, who)

    def _worker(self, state: State, n: int) -> Iterator[tuple[str, bool, State]]:
        task = state[n]
        for a in (0, 1):
            if task >> _QUEUED[a] & 3:
                yield f"a worker takes {n - HEAD}", True, _put(state, n, task - (1 << _QUEUED[a]) + (1 << _HELD[a]))
            if not task >> _HELD[a] & 3:
                continue
            begun = task >> _BEGUN[a] & 1
            gone = task - (1 << _HELD[a])
            if begun and not gone >> _HELD[a] & 3:
                gone -= 1 << _BEGUN[a]
            if task >> _SAID[COMPLETED][a] & 3 < 3:
                yield f"{n - HEAD} completes", True, _put(state, n, gone + (1 << _SAID[COMPLETED][a]))
            if state[ERRORS] and not task >> _SAID[ERROR][a] & 1:
                yield (
                    f"{n - HEAD} raises",
                    False,
                    _put(_less(state, ERRORS), n, gone + (1 << _SAID[ERROR][a])),
                )
            if self.measure.slow and not begun:
                yield (
                    f"{n - HEAD} runs on",
                    False,
                    _put(state, n, task + (1 << _BEGUN[a]) | 1 << _SAID[STARTED][a]),
                )
            if state[REPEATS] and not begun and task >> _QUEUED[a] & 3 < 3:
                yield f"{n - HEAD} is delivered again", False, _put(_less(state, REPEATS), n, task + (1 << _QUEUED[a]))
            if state[DEATHS]:  # what had not begun there is delivered to somebody else
                left = gone if begun else gone + (1 << _QUEUED[a])
                yield f"the worker of {n - HEAD} dies", False, _put(_less(state, DEATHS), n, left)
            if state[SESSION] != S.RUNNING and (not begun or state[SESSION] == S.CANCELLED):
                yield f"{n - HEAD} is let go", False, _put(state, n, gone)

    def _take(self, state: State, n: int) -> Iterator[tuple[str, bool, State]]:
        task = state[n]
        for kind in (COMPLETED, ERROR, STARTED):
            for a in (0, 1):
                at = _SAID[kind][a]
                if not task >> at & (3 if kind == COMPLETED else 1):
                    continue
                for who in (0, 1):
                    if any(other & _IN_HAND[who] for other in state[HEAD:]):
                        continue
                    taken = _put(state, n, task - (1 << at) + (1 + 2 * kind + a << _TAKEN[who]))
                    if self.measure.coarse:
                        yield from self._complete(taken, who, n)
                    else:
                        yield f"scheduler {who} takes a report of {n - HEAD}", True, taken

    def _complete(self, state: State, who: int, n: int) -> Iterator[tuple[str, bool, State]]:
        task = state[n]
        hand = task >> _TAKEN[who] & 15
        if hand & 8:
            chosen = [k for k in range(HEAD, len(state)) if state[k] >> _RELEASED & 1] if who == 0 else []
            if chosen:
                yield f"scheduler {who} publishes", True, self._done(_publish(state, chosen, _RELEASED), who)
            else:
                yield f"scheduler {who} acknowledges", True, _put(state, n, task & ~_IN_HAND[who])
            return
        kind, a = divmod(hand - 1, 2)
        verb = ("completed", "failed", "started")[kind]
        more = ("error",) if kind == ERROR else ()
        marked = _put(state, n, task + (8 << _TAKEN[who]))
        before = self._ready(state)
        decided = self._decide(marked, verb, n - HEAD, a, *more)
        yield f"scheduler {who} commits", True, self._done(decided, who)
        released = [k for k in self._ready(decided) if k not in before]
        if who == 0 and state[RECOVERY] == 3 and released:
            for choice in _choices(released):
                yield f"scheduler 0 commits and chooses {choice}", True, self._choose(decided, choice, _RELEASED)

    def _done(self, state: State, who: int) -> State:
        """Nothing is left to do but to acknowledge the report."""
        if not self.measure.coarse or state[CRASHES]:
            return state
        return (*state[:HEAD], *(task & ~_IN_HAND[who] for task in state[HEAD:]))

    def _dispatch(self, state: State) -> Iterator[tuple[str, bool, State]]:
        if state[RECOVERY] != 3:
            return
        chosen = [n for n in range(HEAD, len(state)) if state[n] >> _CHOSEN & 1]
        if chosen:
            yield "the dispatcher publishes", True, _publish(state, chosen, _CHOSEN)
        elif ready := self._ready(state):
            for choice in _choices(ready):
                yield f"the dispatcher chooses {choice}", True, self._choose(state, choice, _CHOSEN)

    def _recover(self, state: State) -> Iterator[tuple[str, bool, State]]:
        phase = state[RECOVERY]
        if phase == 0:
            for who in (0, 1):
                mine = state if who == 0 else _swap(state)
                known = tuple(task | (1 << _KNOWN) if _holds(task) else task for task in mine[HEAD:])
                yield f"scheduler {who} takes the lock", True, (*_with(mine, RECOVERY, 1)[:HEAD], *known)
        elif phase == 1:
            emptied = tuple(task & ~(15 << _QUEUED[0]) for task in state[HEAD:])
            yield "recovery empties the queue", True, (*_with(state, RECOVERY, 2)[:HEAD], *emptied)
        elif phase == 2:
            held = tuple((n - HEAD, _attempt(state[n])) for n in range(HEAD, len(state)) if state[n] >> _KNOWN & 1)
            clear = tuple(task & ~(1 << _KNOWN) for task in state[HEAD:])
            ready = (*_with(state, RECOVERY, 3)[:HEAD], *clear)
            yield (
                "recovery makes the rest wait again",
                True,
                ready if self.broken.forgets else self._decide(ready, "rebuild", held),
            )

    def _owner(self, state: State) -> Iterator[tuple[str, bool, State]]:
        if state[OWED] == 1:
            emptied = tuple(task & ~(15 << _QUEUED[0]) for task in state[HEAD:])
            yield "the session's queue is emptied", True, (*_with(state, OWED, 2)[:HEAD], *emptied)
        elif state[OWED] == 2:
            yield "what the change entails is done", True, self._decide(_with(state, OWED, 0), "follow", 0)
        elif state[VERBS]:
            verb = self.measure.verbs[-state[VERBS]]
            turned = self._decide(_less(state, VERBS), "turn", 0, verb)
            # A session that is paused waits for its owner; what else he might do, he need not.
            yield verb, state[SESSION] == S.PAUSED, turned if verb == "resume" else _with(turned, OWED, 1)

    def _crash(self, state: State, who: int) -> State:
        now = _less(state, CRASHES)
        if who == 0:
            now = _with(now, RECOVERY, 0) if state[RECOVERY] else now
        tasks = []
        for task in state[HEAD:]:
            hand = task >> _TAKEN[who] & 15
            task &= ~_IN_HAND[who]
            if who == 0 and state[RECOVERY]:
                task &= ~_MINE
            if hand and not (self.broken.early and not hand & 8):
                kind, a = divmod((hand & 7) - 1, 2)
                task = task + (1 << _SAID[kind][a]) if kind == COMPLETED else task | 1 << _SAID[kind][a]
            tasks.append(task)
        return (*now[:HEAD], *tasks)

    # -- the rules, asked once for each of their states

    def _decide(self, state: State, verb: str, *arguments: object) -> State:
        session, rows, _ = self._ask(state[SESSION], tuple(task & 31 for task in state[HEAD:]), verb, arguments)
        tasks = [task >> ROW << ROW | row for task, row in zip(state[HEAD:], rows, strict=True)]
        return (session, *state[1:HEAD], *tasks)

    def _choose(self, state: State, choice: tuple[int, ...], bit: int) -> State:
        now = self._decide(state, "choose", tuple(n - HEAD for n in choice))
        return tuple(value | 1 << bit if n in choice else value for n, value in enumerate(now))

    def _ready(self, state: State) -> tuple[int, ...]:
        return self._ask(state[SESSION], tuple(task & 31 for task in state[HEAD:]), "", ())[2]

    def _ask(
        self, session: int, rows: tuple[int, ...], verb: str, arguments: tuple[object, ...]
    ) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
        key = (session, rows, verb, arguments)
        known = self._decided.get(key)
        if known is None:
            rules = self._thaw(session, rows)
            if verb:
                getattr(rules, verb)(*arguments)
            # What does not count needs no number of its own: nothing of it is on its way when a lease ends.
            now = tuple(task.status | task.attempt - task.uncounted << 4 for task in rules.tasks.values())
            known = int(rules.sessions[0].status), now, tuple(n + HEAD for n in rules.ready())
            self._decided[key] = known
        return known

    def _thaw(self, session: int, rows: tuple[int, ...]) -> Rules:
        """Task n has one output, result n; it has a value when the task has completed, and is aborted when it ended otherwise."""
        rules = self._rules()
        rules.sessions[0] = Session(S(session), session in (S.RUNNING, S.PAUSED))
        for n, row in enumerate(rows):
            status = T(row & 15)
            rules.tasks[n] = Task(0, self.graph[n], (n,), retries=1, submission=1, status=status, attempt=row >> 4)
            lost = status in TASK_ENDS or status is T.CANCELLING
            rules.results[n] = Result(0, R.COMPLETED if status is T.COMPLETED else R.ABORTED if lost else R.CREATED, n)
        return rules

    def _same(self, state: State) -> State:
        """One of all the states that differ only in names."""
        if state[RECOVERY] == 0:
            other = _swap(state)
            if other < state:
                state = other
        if not self._twins:
            return state
        tasks = list(state)
        for family in self._twins:
            for n, task in zip(family, sorted(state[n] for n in family), strict=True):
                tasks[n] = task
        return tuple(tasks)


def _twins(graph: Graph) -> list[tuple[int, ...]]:
    """Tasks that need the same and are needed by the same: where they stand in a state."""
    families: dict[object, list[int]] = {}
    for n, needs in enumerate(graph):
        users = tuple(k for k, other in enumerate(graph) if n in other)
        families.setdefault((tuple(sorted(needs)), users), []).append(n + HEAD)
    return [tuple(family) for family in families.values() if len(family) > 1]


def _choices(ready: "tuple[int, ...] | list[int]") -> list[tuple[int, ...]]:
    """One of them, or all: in which order they go is open, so that priorities and windows of any size are in it."""
    return [(n,) for n in ready] + ([tuple(ready)] if len(ready) > 1 else [])


def _attempt(task: int) -> int:
    return task >> 4 & 1


def _in_hand(task: int) -> bool:
    return bool(task & (_IN_HAND[0] | _IN_HAND[1]))


def _holds(task: int) -> bool:
    """Whether a worker has the attempt that is under way."""
    return bool(task >> _HELD[_attempt(task)] & 3)


def _put(state: State, n: int, task: int) -> State:
    return (*state[:n], task, *state[n + 1 :])


def _with(state: State, place: int, value: int) -> State:
    return (*state[:place], value, *state[place + 1 :])


def _less(state: State, place: int) -> State:
    return _with(state, place, state[place] - 1)


def _publish(state: State, chosen: list[int], bit: int) -> State:
    tasks = list(state)
    for n in chosen:
        tasks[n] = tasks[n] - (1 << bit) + (1 << _QUEUED[_attempt(tasks[n])])
    return tuple(tasks)


def _swap(state: State) -> State:
    """The other scheduler is number 0."""
    both = _IN_HAND[0] | _IN_HAND[1]
    tasks = [
        task & ~both | (task & _IN_HAND[0]) << 4 | (task & _IN_HAND[1]) >> 4 if task & both else task
        for task in state[HEAD:]
    ]
    return (*state[:HEAD], *tasks)


def _unfinished(state: State) -> str:
    """Why a state from which nothing follows is no end."""
    for n, task in enumerate(state[HEAD:]):
        if T(task & 15) not in TASK_ENDS:
            return f"task {n} is {T(task & 15).name} for ever"
        if task >> ROW:
            return f"messages of task {n} stay behind"
    return ""


def _path(came: list[tuple[int, str]], at: int) -> tuple[str, ...]:
    found = []
    while at > 0:
        at, label = came[at]
        found.append(label)
    return tuple(reversed(found))


def _ways(after: list[list[int]], ends: set[int]) -> int | None:
    """From the start to the ends, in how many ways; None if one can go round."""
    into = [0] * len(after)
    for own in after:
        for n in own:
            into[n] += 1
    ways = [0] * len(after)
    ways[0] = 1
    free = [0] if not into[0] else []
    seen = 0
    while free:
        at = free.pop()
        seen += 1
        for n in after[at]:
            ways[n] += ways[at]
            into[n] -= 1
            if not into[n]:
                free.append(n)
    return sum(ways[at] for at in ends) if seen == len(after) else None


def graphs(n: int) -> list[Graph]:
    """All acyclic graphs of n tasks, one of each shape."""
    pairs = list(combinations(range(n), 2))
    found: dict[object, Graph] = {}
    for bits in range(1 << len(pairs)):
        edges = [pair for k, pair in enumerate(pairs) if bits >> k & 1]
        key = min(tuple(sorted((p[a], p[b]) for a, b in edges)) for p in permutations(range(n)))
        found.setdefault(key, tuple(tuple(a for a, b in edges if b == k) for k in range(n)))
    return list(found.values())
