"""Results: created, waited for; their values given and taken."""

from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from shared.client.http import Http
from shared.client.paging import items
from shared.client.paths import COMPUTE
from shared.client.sessions import Id, filter_json
from shared.client.values import download_value, upload_value
from shared.client.wait_for_results import wait_for_results
from shared.contracts.compute import NewResult, Result, ResultList, ResultPage, Where


class Results:
    """Every method that takes a result or a session raises NotFoundError if there is none."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def create(self, session: Id, results: Iterable[NewResult]) -> list[Result]:
        """Makes results, at most 1,000: with a small value in `data` (16 KiB), or without one, to be uploaded later."""
        path = f"{COMPUTE}/sessions/{session}/results"
        return (await self._http.ask("POST", path, ResultList, body={"results": list(results)})).results

    async def get(self, result: Id) -> Result:
        """The result without its value."""
        return await self._http.ask("GET", f"{COMPUTE}/results/{result}", Result)

    def list(self, session: Id, *, status: str = "", where: Where = [], sort: str = "") -> AsyncIterator[Result]:  # noqa: B006
        """Results of a session, in the order of their ids or as `sort` says."""
        query: dict[str, Any] = {"status": status, "where": filter_json(where), "sort": sort}
        return items(self._http, f"{COMPUTE}/sessions/{session}/results", ResultPage, **query)

    async def wait(self, results: Iterable[Id], *, any: bool = False, timeout: float | None = None) -> dict[UUID, str]:
        """The state of each result, when all have ended (`any`: one of them) or `timeout` seconds have passed.

        `created`: it has not ended; `completed`: it has its value; `aborted`, `deleted`: it will never have one.
        """
        names = list(dict.fromkeys(str(one) for one in results))
        states = await wait_for_results(self._http, names, any=any, timeout=timeout)
        return {UUID(name): state for name, state in states.items()}

    async def value(self, result: Id) -> bytes:
        """The whole value of a completed result, in memory."""
        return (await self._http.send("GET", f"{COMPUTE}/results/{result}/data")).content

    async def stream(self, result: Id) -> AsyncIterator[bytes]:
        """The value of a completed result, piece by piece."""
        async with self._http.stream(f"{COMPUTE}/results/{result}/data") as response:
            async for block in response.aiter_bytes():
                yield block

    async def download(self, result: Id, to: Path) -> int:
        """The value into a file, checked; goes on where an earlier call was broken off. Returns its bytes."""
        return await download_value(self._http, str(result), to, lambda _came, _all: None)

    async def upload(self, result: Id, file: Path) -> Result:
        """Gives a created result a file of any size as its value."""
        return msgspec.convert(await upload_value(self._http, str(result), file), Result)

    async def put(self, result: Id, value: bytes | AsyncIterator[bytes]) -> Result:
        """Gives a created result its value: bytes, or what comes piece by piece and cannot be sent again."""
        headers = {"Content-Type": "application/octet-stream"}
        path = f"{COMPUTE}/results/{result}/data"
        return await self._http.ask("PUT", path, Result, content=value, headers=headers)

    async def delete_data(self, session: Id, results: Iterable[UUID]) -> Sequence[Result]:
        """Deletes the values of results, at most 1,000."""
        path = f"{COMPUTE}/sessions/{session}/results/delete"
        return (await self._http.ask("POST", path, ResultList, body={"results": list(results)})).results
