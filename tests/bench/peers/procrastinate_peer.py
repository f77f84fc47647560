# /// script
# dependencies = ["procrastinate==3.10.0", "psycopg[binary]==3.3.9"]
# ///
"""procrastinate on PostgreSQL, fsync on: two worker processes, jobs deferred 1,000 at a time.

It keeps no results: a job's result is its final status, for which the client asks the database. Chain and layers are driven by the
client, which defers a job when those before it have succeeded.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable

from measure import arguments, measure
from procrastinate import App, PsycopgConnector

BATCH = 1000
FEW, POLL_FEW, POLL_MANY = 100, 0.001, 0.05
"""Up to how many jobs the client asks by their ids; seconds between two questions for them, and for more."""

app = App(connector=PsycopgConnector(conninfo=os.environ["PEER_POSTGRES"]))

UNFINISHED = "status IN ('todo', 'doing')"
SUCCEEDED = "SELECT count(*) AS jobs FROM procrastinate_jobs WHERE id = ANY(%(ids)s) AND status = 'succeeded'"
LEFT_OF = f"SELECT count(*) AS jobs FROM procrastinate_jobs WHERE id = ANY(%(ids)s) AND {UNFINISHED}"
LEFT = f"SELECT count(*) AS jobs FROM procrastinate_jobs WHERE {UNFINISHED}"


@app.task(name="noop")
async def noop() -> None:
    pass


async def ask(query: str, **values: object) -> int:
    return (await app.connector.execute_query_one_async(query, **values))["jobs"]


async def independent(count: int) -> int:
    ids: list[int] = []
    for begin in range(0, count, BATCH):
        ids += await noop.batch_defer_async(*({} for _ in range(min(BATCH, count - begin))))
    while await (ask(LEFT_OF, ids=ids) if count <= FEW else ask(LEFT)):
        await asyncio.sleep(POLL_FEW if count <= FEW else POLL_MANY)
    return await ask(SUCCEEDED, ids=ids)


async def chain(count: int) -> int:
    return sum([await independent(1) for _ in range(count)])


async def layers(depth: int, width: int) -> int:
    return sum([await independent(width) + await independent(1) for _ in range(depth)])


def main() -> None:
    options = arguments()
    with asyncio.Runner() as runner:

        def run(work: Callable[..., Awaitable[int]]) -> Callable[..., int]:
            return lambda *counts: runner.run(work(*counts))

        async def opened() -> None:
            await app.open_async()
            await app.schema_manager.apply_schema_async()

        runner.run(opened())
        command = [sys.executable, "-m", "procrastinate", "--app=procrastinate_peer.app", "worker", "--concurrency=10"]
        workers = [subprocess.Popen(command, stdout=sys.stderr) for _ in range(2)]
        try:
            measure(
                options,
                independent=run(independent),
                chain=run(chain),
                layers=run(layers),
                one=run(lambda: independent(1)),
            )
        finally:
            for worker in workers:
                worker.terminate()
                worker.wait()
            runner.run(app.close_async())


if __name__ == "__main__":
    main()
