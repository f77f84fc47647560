"""Asks the archiver where the data of a request are, for the user who asks for offers."""

import asyncio

import msgspec

from services.broker.offers.decide import Lost
from shared.bus.client import Bus
from shared.contracts.catalogue import DatasetRef, Located
from shared.contracts.endpoints.catalogue import DATASET_LOCATE
from shared.contracts.errors import HeadraceError
from shared.contracts.execution import Data, DatasetData
from shared.service.ask import ask


async def locate(bus: Bus, grant: str, data: list[Data], within: float) -> list[Located | Lost]:
    """One answer for each, in order. `grant`: the user's, for this; `within`: seconds that the archiver has."""
    return list(await asyncio.gather(*(_one(bus, grant, one, within) for one in data)))


async def _one(bus: Bus, grant: str, data: Data, within: float) -> Located | Lost:
    pid = data.pid if isinstance(data, DatasetData) else data.location
    try:
        asked = msgspec.convert({"pid": pid}, DatasetRef)
        return await ask(bus, DATASET_LOCATE, asked, grant=grant, timeout=within)
    except msgspec.ValidationError:
        return Lost(f"{pid} is not a dataset's pid")
    except HeadraceError as error:
        # The archiver's own problem would help nobody who reads an offer: it is in the log under the same trace.
        return Lost(f"where {pid} is cannot be looked up now" if error.retryable else error.message)
