"""Any operations in any order on any graphs: the rules do what must be, and the scheduler does what the rules do."""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from services.scheduler.pools import LEAN
from services.scheduler.schema import SCHEMA
from shared.chain.schema import SCHEMA as CHAINS
from shared.contracts.states import TaskStatus
from shared.db.migrate import migrate
from shared.db.pool import open_pool
from shared.service.schema import SCHEMA as OUTBOX
from shared.testing.bus import MemoryBroker
from tests.support.compute_rig import new_database
from tests.support.model.moves import moves_seen, refuse_illegal_moves, verbs_never_seen
from tests.support.model.operations import Operations
from tests.support.model.real import Real
from tests.support.model.rules import Task
from tests.support.servers import Servers

SOAK = bool(os.environ.get("HEADRACE_SOAK"))
Counted = Callable[[str], None]


def drive(machine: type[Operations], examples: int) -> str:
    """How much was tried, as it is to be printed."""
    machine.done = {}
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=50 if SOAK else 20,
            deadline=None,
            derandomize=not SOAK,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    ran = machine.done.pop("examples")
    assert ran >= examples
    kinds = ", ".join(f"{kind} {n:,}" for kind, n in sorted(machine.done.items(), key=lambda one: -one[1]))
    return f"{ran:,} examples, {sum(machine.done.values()):,} operations: {kinds}"


@pytest.mark.timeout(7200 if SOAK else 240)
def test_the_rules_do_what_must_be(counted: Counted) -> None:
    counted(f"operations on the rules: {drive(type('Alone', (Operations,), {}), 50_000 if SOAK else 2_000)}")


@pytest.fixture(scope="module")
def real(servers: Servers) -> Iterator[tuple[Real, asyncio.Runner]]:
    """In a loop of its own: a machine's rules are no coroutines."""
    stack = AsyncExitStack()

    async def start() -> Real:
        database = await stack.enter_async_context(new_database(servers))
        pool: Any = await stack.enter_async_context(
            await open_pool(database.url("scheduler"), "scheduler", settings=LEAN)
        )
        await migrate(pool, "scheduler", OUTBOX, CHAINS, SCHEMA)
        await refuse_illegal_moves(pool)
        broker = MemoryBroker()
        bus = await broker.connect("scheduler")
        stack.push_async_callback(bus.close)
        made = Real(broker, pool, bus)
        await made.parts.registry.refresh()
        return made

    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        yield runner.run(start()), runner
        runner.run(stack.aclose())


@pytest.mark.timeout(7200 if SOAK else 240)
def test_the_scheduler_does_what_the_rules_do(real: tuple[Real, asyncio.Runner], counted: Counted) -> None:
    found, runner = real
    machine = type("Both", (Operations,), {"real": found, "run": staticmethod(runner.run)})
    counted(f"operations on PostgreSQL: {drive(machine, 2_000 if SOAK else 100)}")
    assert verbs_never_seen(runner.run(moves_seen(found.pool))) <= {
        "session reopen", "session delete", "submission refuse", "result delete",
        "task time out", "task preempt", "task rerun", "task pause", "task resume",
    }  # fmt: skip


# -- what was found


@pytest.fixture
def both(real: tuple[Real, asyncio.Runner]) -> Operations:
    found, runner = real
    return type("Both", (Operations,), {"real": found, "run": staticmethod(runner.run)})()


def submit(both: Operations, tasks: int) -> list[int]:
    """Tasks that are ready at once, and chosen; the first session's."""
    names = [next(both.names) for _ in range(tasks)]
    submission = next(both.names)
    both.add_submission(0, submission, {name: Task(0, submission=submission) for name in names}, True, 0)
    both.dispatch(8)
    return names


def test_what_a_worker_gives_back_to_a_session_that_was_closed_is_cancelled(both: Operations) -> None:
    """A worker that holds a task which it has not begun lets go of it when the session is closed, and says no more of it."""
    (task,) = submit(both, 1)
    both.rebuild_queue([(task, 0)])
    both.change_session(0, "close")
    both.end_lease(task)
    assert both.rules.shown(task) is TaskStatus.CANCELLED


def test_what_a_worker_gives_back_waits_for_its_turn(both: Operations) -> None:
    (task,) = submit(both, 1)
    both.rebuild_queue([(task, 0)])
    both.end_lease(task)
    assert both.rules.shown(task) is TaskStatus.PENDING
    both.dispatch(8)


def test_what_a_worker_gives_back_has_one_turn(both: Operations) -> None:
    """It began in a lane; the lane was taken back to before it, and waits too."""
    _, later = submit(both, 2)
    both.rebuild_queue([(later, 0)])
    both.end_lease(later)
    both.dispatch(8)
