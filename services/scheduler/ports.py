"""What the two rooms ask of each other: `compute` and `dispatch` import this, never one another. `app` gives each what the other has.

A protocol is a role, not a class: one object of `dispatch` may have several. Rows are those of the statements that made them,
and have the columns that a docstring names.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

from shared.contracts.compute import Value
from shared.contracts.work import Control, Failed
from shared.service.unit import Unit

LAST_EPOCH = 2**31 - 1
"""Nothing of the session is to run any more."""


class Partitions(Protocol):
    """Asked of dispatch: which partitions there are."""

    async def numbers_of(self, names: Collection[str]) -> dict[str, int]:
        """The number of each of these partitions, by name; those that do not exist are left out."""

    async def hold(self, db: Any, names: Collection[str]) -> set[str]:
        """Those of the names that exist; none of them is deleted before the transaction of `db` ends."""


class Dispatch(Protocol):
    """Asked of dispatch: credit for tasks that a statement of compute makes ready, and word of what has ended."""

    def rank(self) -> int:
        """0 if this process dispatches, 1 if not: reports are taken first by who can publish what they release."""

    def of_sites(self) -> Mapping[str, int]:
        """The numbers of the sites' partitions, by name."""

    def credits(self) -> tuple[list[int], list[int]]:
        """Numbers of partitions whose tasks may be chosen here and now, and how many of each, as the statements take them."""

    def hold_credit(self, unit: Unit, counts: Mapping[int, int]) -> bool:
        """Keeps credit for so many tasks, by partition, until the unit is over. False: there is not enough, or others wait."""

    def remember(self, submission: UUID, trace: str, applications: bool) -> None:
        """The trace of a submission whose tasks will be published here, and whether any of them names an application."""

    async def publish(self, rows: Sequence[Any], values: Mapping[UUID, Value]) -> None:
        """Publishes tasks whose rows say that they were chosen. `values`: results at hand, by id."""

    async def count_ended(self, counts: Mapping[int, int], durations: Iterable[tuple[int, str, float]] = ()) -> None:
        """Counts tasks, by partition, that have left the queue and the workers. `durations`: partition, function, seconds of examples."""

    async def set_aside(
        self, unit: Unit, tasks: Sequence[UUID], attempts: Sequence[int], workers: Sequence[str], reasons: Sequence[str]
    ) -> list[Any]:
        """Sets attempts aside that their workers gave back, until a worker has their function: as new attempts that use up
        no retry. Returns rows of those that were (`id`, `session`, `partition`, `worker`); the others' sessions have ended.
        The four sequences are of one length, in the order of the tasks' ids: rows are locked in it.
        """

    async def wake(self, numbers: Iterable[int] | None = None) -> None:
        """Something may be ready, in these partitions; None: in any."""

    def suspend(self) -> None:
        """Dispatches nothing here until the queues were rebuilt: a commit may have chosen tasks that nobody published."""


class Workers(Protocol):
    """Asked of dispatch: the queue of a session, and its workers."""

    async def purge_queue(self, session: UUID) -> None:
        """Deletes the session's tasks from the queue, and leaves those that workers hold."""

    async def empty_queue(self, session: UUID, event: str, epoch: int = LAST_EPOCH) -> None:
        """Empties the session's queue; workers hear what to do with what they hold (`event`, `epoch`: see Control)."""

    async def requeue(self, unit: Unit, session: UUID) -> None:
        """What was chosen of a session, or lay with a worker without having begun, waits for its turn again."""

    async def control(self, session: UUID, control: Control) -> None:
        """Sends a control message about a session's tasks to all workers."""


class Waiting(Protocol):
    """Asked of dispatch: why ready tasks wait."""

    async def reasons(self, row: Mapping[str, Any], *, queued: bool) -> list[str]:
        """Sentences, the most decisive first. `row`: the task (partition_name, partition, priority, function); `queued`: chosen."""

    async def unplaced(self, db: Any, session: UUID) -> dict[str, int]:
        """How many ready tasks of a session wait for a function that no live worker has, by function. Reads them on `db`."""


class Attempts(Protocol):
    """Asked of compute: attempts end otherwise than by a worker's report."""

    async def fail(self, reports: Sequence[Failed], workers: dict[UUID, str]) -> None:
        """Ends attempts without results; lost ones get another attempt while they have retries left. `workers`: by task."""

    async def cancel_unstarted(self, tasks: Sequence[UUID]) -> None:
        """Ends tasks that a worker held without having begun, in sessions that have ended."""
