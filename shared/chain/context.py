"""What a step knows and can do beside its state."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from shared.bus.publish import encode
from shared.chain.machine import Fault
from shared.contracts.operations import Amount

if TYPE_CHECKING:
    from shared.service.unit import Unit

Save = Callable[[msgspec.Struct], Awaitable[None]]
Report = Callable[[dict[str, Amount]], Awaitable[None]]


async def _discard_progress(progress: dict[str, Amount]) -> None:
    """Ignores a progress report."""


class StepContext:
    """`tries`: how often this step has failed before. `error`, `fault`: why the chain fails, for undo and handlers.

    `key`: the same at every run of this step of this chain: an idempotency key for calls to others.
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
    ) -> None:
        self.chain, self.kind, self.step = chain, kind, step
        self.tries, self.fault, self.error = tries, fault, error
        self.key = f"{chain}.{step}"
        self._save, self._report = save, report
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

        It is stored and published at once, whatever becomes of the step: amounts that were counted, of what is really done.
        Units that are not named stay as they were. Superseded if this run does not count any more.
        """
        await self._report(amounts)

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
