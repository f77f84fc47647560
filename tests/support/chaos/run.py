"""One submission in a running system, watched from outside, and counted when it is over."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
from nats.aio.client import Client

from shared.contracts.compute import Submission
from shared.contracts.ids import result_id
from shared.contracts.states import ResultStatus, TaskStatus
from tests.support.chaos.mix import Mix
from tests.support.edge import Edge, Received, Watch
from tests.support.processes import Processes

LIMIT = 90.0
"""Seconds that anything may take on a slow machine; nothing is expected to take as long."""


class Run:
    def __init__(self, system: Processes, edge: Edge, session: UUID, submission: Submission, watch: Watch) -> None:
        self.system, self.edge, self.session, self.submission, self.watch = system, edge, session, submission, watch
        self.total = submission.tasks

    @property
    def received(self) -> Received:
        return self.watch.received

    async def middle(self, fraction: float = 0.2) -> None:
        """Until so much of it is known to be done. Fails if it is over already."""
        await self.system.wait_until(
            lambda: len(self.received.completed) >= fraction * self.total, timeout=LIMIT, every=0.005
        )
        assert len(self.received.completed) < 0.9 * self.total, "too fast: there is no middle to strike in"

    async def done(self, timeout: float = LIMIT) -> None:
        """Until everything has been told."""
        await self.system.wait_until(
            lambda: min(len(self.received.completed), len(self.received.results)) >= self.total,
            timeout=timeout,
            every=0.05,
            on_timeout=self.stand,
        )

    async def stand(self) -> str:
        """Where it hangs, for the failure's text."""
        rows = await self.fetch(
            "SELECT t.id, t.status, t.attempt, t.deps, t.remaining, t.worker, r.worker AS held, q.task IS NOT NULL AS ready"
            " FROM tasks t LEFT JOIN running r ON r.task = t.id LEFT JOIN ready q ON q.task = t.id"
            " WHERE t.session = $1 AND t.status <> 6 ORDER BY t.id",
            self.session,
        )
        kinds = Counter(
            (row["status"], row["attempt"], row["deps"] == 0, row["remaining"] == 0, row["held"]) for row in rows
        )
        lanes = await self.fetch("SELECT * FROM lanes WHERE session = $1", self.session)
        return "\n".join(
            [
                f"told: {len(self.received.completed)} tasks and {len(self.received.results)} results of {self.total}",
                f"not completed: {len(rows)}; (status, attempt, from the start, ready, held by): {dict(kinds)}",
                f"lanes: {[dict(lane) for lane in lanes]}",
                f"first: {[dict(row) for row in rows[:3]]}",
                self.system.tails(6),
            ]
        )

    # -- counting

    async def counted(self, mix: Mix | None = None, *, retold: bool = False) -> None:
        """Everything ended, once. `retold`: the event stream was lost, so that frames may stand there again."""
        await self.edge.close_session(self.session)
        await self.system.wait_until(self._settled, timeout=LIMIT)
        await self._listed()
        await self._events(retold)
        await self._rows(mix)
        self.system.check()

    async def _settled(self) -> bool:
        """What closing entails is done; where that takes long it goes on after the answer."""
        return not await self.fetch("SELECT 1 FROM sessions WHERE id = $1 AND pending_cleanup", self.session)

    async def _listed(self) -> None:
        path = f"/compute/v1/sessions/{self.session}"
        for noun in ("tasks", "results"):
            items = await self.edge.everything(f"{path}/{noun}")
            assert len({item["id"] for item in items}) == len(items) == self.total
            assert Counter(item["status"] for item in items) == {"completed": self.total}
        counts = (await self.edge.get(path))["tasks"]
        assert (counts["total"], counts["completed"]) == (self.total, self.total)

    async def _events(self, retold: bool) -> None:
        """What we were told while it ran, and what a reader is told who comes now."""
        await self.system.wait_until(lambda: self.received.closed, timeout=LIMIT)
        async with Watch(self.edge, self.session) as second:
            # After a loss of the stream, what is told again may stand behind the session's end.
            whole = self.total if retold else 0
            received = second.received
            await self.system.wait_until(
                lambda: received.closed and min(len(received.completed), len(received.results)) >= whole, timeout=LIMIT
            )
        for received in (self.received, second.received):
            assert max(received.ids.values()) == 1
            assert retold or not received.again
            assert len(received.completed) == len(received.results) == self.total
            assert set(received.completed.values()) == set(received.results.values()) == {1}
            assert not received.failed

    async def _rows(self, mix: Mix | None) -> None:
        tasks = await self.fetch(
            "SELECT id, status, outputs, remaining FROM tasks WHERE session = $1 ORDER BY id", self.session
        )
        assert Counter(row["status"] for row in tasks) == {TaskStatus.COMPLETED: self.total}
        assert all(row["remaining"] == 0 for row in tasks)
        results = await self.fetch(
            "SELECT id, status, owner, data, object FROM results WHERE session = $1 ORDER BY id", self.session
        )
        assert Counter(row["status"] for row in results) == {ResultStatus.COMPLETED: self.total}
        assert [(row["outputs"], row["id"]) for row in tasks] == [([row["id"]], row["owner"]) for row in results]
        assert not await self.fetch("SELECT * FROM ready WHERE session = $1", self.session)
        assert not await self.fetch(
            "SELECT r.* FROM running r JOIN tasks t ON t.id = r.task WHERE t.session = $1", self.session
        )
        if mix is not None:
            assert [int(row["data"]) for row in results] == mix.values

    async def fetch(self, query: str, *arguments: Any) -> list[Any]:
        connection = await asyncpg.connect(self.system.stack.database_url("scheduler"))
        try:
            await connection.execute("SET search_path = scheduler")
            return list(await connection.fetch(query, *arguments))
        finally:
            await connection.close()

    def result(self, line: int) -> UUID:
        return result_id(self.submission.id, line, 0)


@asynccontextmanager
async def connected(system: Processes) -> AsyncIterator[Client]:
    """The bus, as its administrator."""
    client = await system.bus()
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def running(
    system: Processes, edge: Edge, lines: bytes, *, function: str = "add", **options: Any
) -> AsyncIterator[Run]:
    """Submits and watches."""
    session = await edge.session(function=function, **options)
    async with Watch(edge, session) as watch:
        submission = await edge.submit(session, lines)
        yield Run(system, edge, session, submission, watch)
