"""What a step knows and can do beside its state."""

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from shared.bus.publish import encode
from shared.chain.machine import Fault
from shared.contracts.operations import Amount

if TYPE_CHECKING:
    from shared.service.unit import Unit

Save = Callable[[msgspec.Struct], Awaitable[None]]
Report = Callable[[dict[str, Amount]], Awaitable[None]]
PROGRESS_EVERY: Final = 1.0
"""Seconds in which a running step's progress is stored and published at most once."""


async def _discard_progress(progress: dict[str, Amount]) -> None:
    """Ignores a progress report."""


class StepContext:
    """`tries`: how often this step has failed before. `error`, `fault`: why the chain fails, for undo and handlers.

    `key`: the same at every run of this step of this chain: an idempotency key for calls to others.
    `unsaved`: progress that is not stored yet: whoever ends the run stores it. `monotonic`: the clock of its pace, in seconds.
    """

    def __init__(
        self,
        chain: UUID,
        kind: str,
        step: str,
        *,
        tries: int,
        fault: Fault,
        error: str,
        save: Save,
        report: Report = _discard_progress,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.chain, self.kind, self.step = chain, kind, step
        self.tries, self.fault, self.error = tries, fault, error
        self.key = f"{chain}.{step}"
        self._save, self._report, self._monotonic = save, report, monotonic
        self.unsaved: dict[str, Amount] = {}
        self._report_at = float("-inf")
        self.result: bytes | None = None
        self.handed_over = False
        self.events: list[tuple[str, bytes]] = []
        self.commits: list[Callable[[Unit], Awaitable[object]]] = []

    async def save(self, state: msgspec.Struct) -> None:
        """Keeps what has been done so far: a step that is killed after it begins again with this state.

        Superseded if this run does not count any more.
        """
        await self._save(state)

    async def progress(self, **amounts: Amount) -> None:
        """How far the operation is that the chain is shown as, by unit: `await ctx.progress(datablocks=Amount(3, 10))`.

        Amounts that were counted, of what is really done: they are stored and published whatever becomes of the step. The first at
        once; what comes within a second of that, with the first report after it, or when the run ends. So a report costs little.
        Units that are not named stay as they were. Superseded if this run does not count any more.
        """
        self.unsaved |= amounts
        if (now := self._monotonic()) < self._report_at:
            return
        self._report_at = now + PROGRESS_EVERY
        reported, self.unsaved = self.unsaved, {}
        try:
            await self._report(reported)
        except BaseException:
            self.unsaved = reported | self.unsaved
            raise

    def set_result(self, result: Any) -> None:
        """What the operation was asked for, a Struct; kept when the step counts, shown when the chain is done."""
        self.result = msgspec.json.encode(result)

    def hand_over(self) -> None:
        """Another service goes on with the operation, under the same id: this one shows it no longer when the step counts."""
        self.handed_over = True

    def emit(self, subject: str, message: Any) -> None:
        """An event that is published when the step counts: once, however often the step runs."""
        self.events.append((subject, encode(message)))

    def commit(self, work: "Callable[[Unit], Awaitable[object]]") -> None:
        """A change of the service's own tables, made in the transaction that makes the step count: exactly once."""
        self.commits.append(work)
