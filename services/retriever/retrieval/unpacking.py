"""The results of a retrieval: each requested file, out of its tar in retrieval storage, becomes the value of its result."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final
from uuid import UUID

from services.retriever.retrieval import store
from services.retriever.retrieval.peers import Peers
from services.retriever.retrieval.state import CorruptError, Retrieving
from services.retriever.retrieval.store import Row, retrieval_key
from shared.chain.context import StepContext
from shared.contracts import subjects
from shared.contracts.events import RetrievalChanged
from shared.contracts.operations import Amount
from shared.contracts.topology import INLINE_LIMIT
from shared.contracts.work import Output
from shared.objects.hashing import Sha256
from shared.objects.layout import result_key
from shared.objects.port import Objects
from shared.service.unit import Units

AT_ONCE: Final = 4
"""Results that are given their values side by side."""


class Unpacking:
    """Reads files out of datablocks in retrieval storage."""

    def __init__(self, units: Units, objects: Objects, peers: Peers) -> None:
        self._units, self._objects, self._peers = units, objects, peers

    async def produce(self, ctx: StepContext, state: Retrieving, session: UUID) -> None:
        """Gives every result of `session` its value that has none yet and whose datablock is not damaged."""
        rows = await store.producible(self._units.pool, state.retrieval)
        gate, counting = asyncio.Semaphore(AT_ONCE), asyncio.Lock()
        total = len(await store.requested_files(self._units.pool, state.retrieval))
        produced = total - len(await store.results_not_produced(self._units.pool, state.retrieval))

        async def one(row: Row) -> None:
            nonlocal produced
            async with gate:
                await self._produce(state, session, row)
                async with self._units.begin() as unit:
                    await store.set_produced(unit.connection, state.retrieval, row["result"])
                    event = RetrievalChanged(state.retrieval, state.pid, "running", produced + 1, total)
                    unit.emit(subjects.event("retrieval", "changed", state.retrieval), event)
            async with counting:
                produced += 1
                await ctx.progress(results=Amount(produced, total))

        try:
            async with asyncio.TaskGroup() as group:
                for row in rows:
                    group.create_task(one(row))
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def _produce(self, state: Retrieving, session: UUID, row: Row) -> None:
        result = row["result"]
        if not await self._peers.is_complete(state.owner, result, session):
            output = await self._value(session, row)
            used = await self._peers.complete(state.owner, output)
            if not used and output.object is not None:
                await self._objects.delete([output.object])

    async def _value(self, session: UUID, row: Row) -> Output:
        """The value of a result: the range of the tar that is the file."""
        start, size, result = row["start"], row["size"], row["result"]
        chunks = self._objects.get(retrieval_key(row["archive_id"]), start=start, end=start + size)
        if size > INLINE_LIMIT:
            key = result_key(session, result)
            stored = await self._objects.put(key, chunks, size=size, sha256=row["chk"])
            return Output(result, stored.size, object=key)
        data = await _checked(chunks, row)
        return Output(result, size, data=data)


async def _checked(chunks: AsyncIterator[bytes], row: Row) -> bytes:
    data, digest = b"".join([chunk async for chunk in chunks]), Sha256()
    await digest.update(data)
    if digest.hex() != row["chk"]:
        raise CorruptError(f"{row['path']} in {row['archive_id']} hashes to {digest.hex()}, not to {row['chk']}")
    return data
