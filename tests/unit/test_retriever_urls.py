"""Addresses to download from, asked for while the sweep removes what they lead to."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from services.retriever.retrieval.handlers import Retrievals
from services.retriever.retrieval.store import Q, retrieval_key
from shared.contracts.errors import Conflict
from shared.contracts.retrieval import DownloadQuery
from shared.runtime.clock import SystemClock
from shared.service.context import Context
from shared.testing.objects import MemoryObjects

ID = UUID(int=1)


class Pool:
    """One retrieval that is done. `swept`: the sweep is through with it by the time that its addresses are kept."""

    def __init__(self, swept: bool) -> None:
        self._kept = None if swept else {"id": ID}

    async def fetchrow(self, query: str, *_: Any) -> dict[str, Any] | None:
        if query == Q.keep_addresses.text:
            return self._kept
        return {"id": ID, "owner": "ann", "evicted_at": None, "retrieved": 1, "damaged": 0, "datablocks": 1}

    async def execute(self, query: str, *_: Any) -> None:
        assert query == Q.keep_addresses.text

    async def fetch(self, query: str, *_: Any) -> list[dict[str, Any]]:
        return [{"archive_id": "a/a_0.tar", "packed_size": 1, "chk": "", "damage": "", "datablock": ID}]


@pytest.mark.parametrize("swept", [False, True])
async def test_no_addresses_of_what_was_swept_a_moment_ago(swept: bool) -> None:
    objects, nothing = MemoryObjects(), SimpleNamespace()
    await objects.put(retrieval_key("a/a_0.tar"), b"x")
    given: Any = (nothing, nothing, nothing)
    handler = Retrievals(Pool(swept), *given, objects, SystemClock(), timedelta(minutes=15))
    context = Context("ann")
    if swept:
        with pytest.raises(Conflict, match="make another"):
            await handler.urls(context, DownloadQuery(ID))
    else:
        assert len((await handler.urls(context, DownloadQuery(ID))).items) == 1
