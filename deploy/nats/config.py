"""The server's configuration as data; the server reads JSON as a form of its own language."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from deploy.nats.permissions import Permissions
from shared.contracts.topology import MESSAGE_LIMIT

STORE_LIMIT: Final = 1 << 40


def _user(name: str, password: str, allowed: Permissions) -> dict[str, Any]:
    return {
        "user": name,
        "password": password,
        "permissions": {
            "publish": {"allow": list(allowed.publish)},
            "subscribe": {"allow": list(allowed.subscribe)},
        },
    }


def server(
    *,
    port: int,
    monitor_port: int,
    store: Path,
    users: Mapping[str, Permissions],
    passwords: Mapping[str, str],
    host: str = "127.0.0.1",
    sync: str = "1s",
) -> dict[str, Any]:
    """One server with JetStream on disk. `sync`: how often it flushes; `always` in production on one replica.

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
        "accounts": {
            "HEADRACE": {
                "jetstream": "enabled",
                "users": [_user(name, passwords[name], allowed) for name, allowed in users.items()],
            },
            "SYSTEM": {"users": [{"user": "system", "password": passwords["system"]}]},
        },
        "system_account": "SYSTEM",
    }
