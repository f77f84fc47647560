"""Free ports on loopback, chosen once and kept while they stay free."""

import json
import random
import socket
from collections.abc import Sequence
from pathlib import Path

_RANGE = range(20_000, 32_000)
"""Below the range from which Linux takes the ports of outgoing connections, so that none of those gets in the way."""


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose(names: Sequence[str], kept: Path) -> dict[str, int]:
    """A port for each name. `kept` is the file that remembers them; a port taken by somebody else is replaced."""
    try:
        before: dict[str, int] = json.loads(kept.read_text())
    except (FileNotFoundError, ValueError):
        before = {}
    chosen: dict[str, int] = {}
    for name in names:
        port = before.get(name, 0)
        while port in chosen.values() or port not in _RANGE or not is_free(port):
            port = random.choice(_RANGE)  # noqa: S311
        chosen[name] = port
    kept.write_text(json.dumps(chosen, indent=2) + "\n")
    return chosen
