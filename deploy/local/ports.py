"""Free ports on loopback, chosen once and kept while they stay free."""

import json
import random
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from deploy.local.home import write_private

_RANGE = range(20_000, 32_000)
"""Below the range from which Linux takes the ports of outgoing connections, so that none of those gets in the way."""
PAIR_DISTANCE = 10_000
PAIRS = 2_000
"""Ports of the range that are for pairs; with their second port they too stay below 32,768."""


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def reserve(port: int) -> socket.socket | None:
    """The port's UDP twin, of which nobody has any use; None if another has it.

    A port is chosen some time before its server takes it: as long as its twin is held, no other stack chooses it.
    """
    twin = socket.socket(type=socket.SOCK_DGRAM)
    try:
        twin.bind(("127.0.0.1", port))
    except OSError:
        twin.close()
        return None
    return twin


def choose(
    names: Sequence[str],
    file: Path,
    held: ExitStack,
    *,
    paired: Mapping[str, str] | None = None,
    taken: Callable[[int], bool] = lambda port: False,
) -> dict[str, int]:
    """A port for each name, reserved until `held` is closed. `file` keeps them; a port taken by somebody
    else is replaced.

    `paired`: names with another that has to be PAIR_DISTANCE higher, because a program expects it there. `taken`: whether a
    port that is free is of no use all the same.
    """

    def take(*ports: int) -> bool:
        with ExitStack() as mine:
            for port in ports:
                twin = reserve(port)
                if twin is None:
                    return False
                mine.enter_context(twin)
                if not is_free(port) or taken(port):
                    return False
            held.enter_context(mine.pop_all())
        return True

    try:
        before: dict[str, int] = json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        before = {}
    chosen: dict[str, int] = {}
    for name in names:
        second = (paired or {}).get(name)
        within = _RANGE[:PAIRS] if second else _RANGE[PAIRS:]
        distances = (0, PAIR_DISTANCE) if second else (0,)
        port = before.get(name, 0)
        while port not in within or not take(*(port + d for d in distances)):
            port = random.choice(within)  # noqa: S311
        chosen[name] = port
        if second:
            chosen[second] = port + PAIR_DISTANCE
    write_private(file, json.dumps(chosen, indent=2) + "\n")
    return chosen
