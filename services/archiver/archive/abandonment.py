"""The bytes of a dataset that was given up: removed wherever they may lie, once nobody works on them any more."""

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
"""Seconds after which it is looked again whether the stopped chain has ended."""


class Abandoning:
    """The rows are gone when this begins: nothing finds the dataset, and what is still being packed is thrown away. `storage`: what `lts`
    is called."""

    def __init__(self, units: Units, objects: Objects, lts: Store, storage: str) -> None:
        self._units, self._objects, self._lts, self._storage = units, objects, lts, storage

    async def remove_bytes(self, ctx: StepContext, state: OfDataset) -> None:
        stopped = None if state.stopped is None else await store.find(self._units.pool, state.stopped)
        if stopped is not None and stopped.position.status in LIVE:
            raise Later(AGAIN, f"chain {state.stopped} to stop")
        removed = await remove(self._objects, layout.landing_prefix(state.dataset))
        removed += await remove(self._objects, layout.staging_prefix(state.dataset))
        layout.check_storage(layout.archive_prefix(state.dataset), state.storage, self._storage)
        removed += await remove(self._lts, layout.archive_prefix(state.dataset))
        await ctx.progress(objects=Amount(removed))
        log.info("dataset.abandoned", dataset=str(state.dataset), pid=state.pid, objects=removed)
