"""What a step knows and can do beside its state."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from shared.bus.publish import encode
from shared.chain.machine import Fault

if TYPE_CHECKING:
    from shared.service.unit import Unit

Save = Callable[[msgspec.Struct], Awaitable[None]]


class StepContext:
    """`tries`: how often this step has failed before. `error`, `fault`: why the chain fails, for undo and handlers.

    `key`: the same at every run of this step of this chain: an idempotency key for calls to others.
    """

    def __init__(self, chain: UUID, kind: str, step: str, *, tries: int, fault: Fault, error: str, save: Save) -> None:
        self.chain, self.kind, self.step = chain, kind, step
        self.tries, self.fault, self.error = tries, fault, error
        self.key = f"{chain}.{step}"
        self._save = save
        self.told: list[tuple[str, bytes]] = []
        self.works: list[Callable[[Unit], Awaitable[None]]] = []

    async def save(self, state: msgspec.Struct) -> None:
        """Keeps what has been done so far: a step that is killed after it begins again with this state.

        Superseded if this run does not count any more.
        """
        await self._save(state)

    def tell(self, subject: str, message: Any) -> None:
        """An event that becomes true when the step does. Told once, however often the step runs."""
        self.told.append((subject, encode(message)))

    def commit(self, work: "Callable[[Unit], Awaitable[None]]") -> None:
        """A change of the service's own tables, made in the transaction that makes the step count: exactly once."""
        self.works.append(work)
