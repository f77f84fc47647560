"""Who is measured, and how."""

import re
from pathlib import Path

import msgspec

FOLDER = Path(__file__).parent


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """One system beside ours.

    package   whose version is told
    setting   how it is run, for people
    durable   what of it survives a crash, for people
    graph     who releases a task when those before it are done: the peer ("native") or its client ("client")
    servers   what it stands on, in the order of starting
    The rest are the counts of the workloads: ours; for a peer of which one run takes longer than about 30 s, smaller ones.
    """

    name: str
    package: str
    setting: str
    durable: str
    graph: str
    servers: tuple[str, ...] = ()
    independent: int = 10_000
    chain: int = 1_000
    depth: int = 100
    width: int = 50
    trips: int = 100

    @property
    def script(self) -> Path:
        return FOLDER / f"{self.name.replace('-', '_')}_peer.py"

    @property
    def lock(self) -> Path:
        return FOLDER / f"{self.name.replace('-', '_')}.lock"

    @property
    def version(self) -> str:
        """Of `package`, as the lock pins it."""
        pinned = re.search(rf"^{re.escape(self.package)}==(\S+)", self.lock.read_text(), re.MULTILINE)
        assert pinned is not None
        return pinned[1]

    @property
    def tasks(self) -> dict[str, int]:
        """How many tasks each workload has."""
        layers = self.depth * (self.width + 1)
        return {"independent": self.independent, "chain": self.chain, "layers": layers, "rtt": self.trips}


PEERS = (
    Peer(
        name="dask",
        package="distributed",
        setting="2 worker processes of 1 thread, worker-saturation inf",
        durable="no",
        graph="native",
    ),
    Peer(name="ray", package="ray", setting="2 CPUs", durable="no", graph="native"),
    Peer(
        name="parsl",
        package="parsl",
        setting="high-throughput executor, 2 workers, prefetch 64",
        durable="no",
        graph="native",
    ),
    Peer(
        name="celery",
        package="celery",
        setting="redis as broker and for results, prefork, 2 processes, prefetch 64",
        durable="redis AOF, flushed every second",
        graph="client",
        servers=("redis",),
    ),
    Peer(
        name="procrastinate",
        package="procrastinate",
        setting="2 worker processes of 10 jobs at once, deferred 1,000 at a time; no results, the final status is waited for",
        durable="PostgreSQL, fsync on",
        graph="client",
        servers=("postgres",),
    ),
    Peer(
        name="taskiq-nats",
        package="taskiq-nats",
        setting="JetStream, 2 worker processes that pull tasks one by one; results in redis",
        durable="JetStream and redis AOF, both flushed every second",
        graph="client",
        servers=("nats", "redis"),
    ),
)
