"""The server's configuration as data; the server reads JSON as a form of its own language."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from deploy.nats.accounts import accounts
from deploy.nats.permissions import SITES
from shared.contracts.topology import MESSAGE_LIMIT

STORE_LIMIT: Final = 1 << 40


def server(
    *,
    port: int,
    monitor_port: int,
    store: Path,
    people: Iterable[str],
    passwords: Mapping[str, str],
    sites: Iterable[str] = SITES,
    events: bool = False,
    host: str = "127.0.0.1",
    sync: str = "1s",
) -> dict[str, Any]:
    """One server with JetStream on disk. `people`: those who have a user of their own; `passwords`: of every user; `sites`: whose brokers have one.

    `events`: people may subscribe to all events. `sync`: how often it flushes; `always` in production on one replica.
    The user `system` belongs to the system account: `nats server …` asks there. Nobody is let in without a name.
    """
    return {
        "server_name": "headrace",
        "listen": f"{host}:{port}",
        "http": f"{host}:{monitor_port}",
        "max_payload": 2 * MESSAGE_LIMIT,
        # Within 30 s a process that is frozen gets no more of its service's requests (the default is six minutes).
        "ping_interval": "10s",
        "ping_max": 2,
        # Without a limit of ours the server takes a share of what is free, and on a small disk refuses streams that
        # have a limit of their own; a disk that is really full it notices by itself.
        "jetstream": {"store_dir": str(store), "sync_interval": sync, "max_file_store": STORE_LIMIT},
        "accounts": accounts(tuple(people), passwords, sites=tuple(sites), events=events),
        "system_account": "SYSTEM",
    }
