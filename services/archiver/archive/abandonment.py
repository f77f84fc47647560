"""The abandonment chain: removes the bytes of an abandoned dataset, wherever they may lie, once no other chain works on them."""

from services.archiver.archive.state import OfDataset
from services.archiver.catalogue import layout
from shared.chain import store
from shared.chain.context import StepContext
from shared.chain.errors import Later
from shared.chain.machine import LIVE
from shared.contracts.operations import Amount
from shared.objects.port import Objects, Store
from shared.objects.remove import remove
from shared.runtime.log import log
from shared.service.unit import Units

AGAIN = 0.5
"""Seconds between two looks at whether the stopped chain has ended."""


class Abandoning:
    """The step of the abandonment chain. The dataset's rows are gone when it begins. `storage`: the name of the storage `lts`."""

    def __init__(self, units: Units, objects: Objects, lts: Store, storage: str) -> None:
        self._units, self._objects, self._lts, self._storage = units, objects, lts, storage

    async def remove_bytes(self, ctx: StepContext, state: OfDataset) -> None:
        """Waits for the stopped chain, then removes what lies in the landing zone, in staging and on long-term storage."""
        stopped = None if state.stopped is None else await store.find(self._units.pool, state.stopped)
        if stopped is not None and stopped.position.status in LIVE:
            raise Later(AGAIN, f"chain {state.stopped} to stop")
        removed = await remove(self._objects, layout.landing_prefix(state.dataset))
        removed += await remove(self._objects, layout.staging_prefix(state.dataset))
        layout.check_storage(layout.archive_prefix(state.dataset), state.storage, self._storage)
        removed += await remove(self._lts, layout.archive_prefix(state.dataset))
        await ctx.progress(objects=Amount(removed))
        log.info("dataset.abandoned", dataset=str(state.dataset), pid=state.pid, objects=removed)
