"""`make bench-peers`: the four workloads on other systems, beside Headrace's own figures of the last `make bench`."""

import argparse
import asyncio
import sys
from pathlib import Path

from rich.console import Console

from tests.bench.peers.catalogue import PEERS
from tests.bench.peers.run import LIMIT, compare


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-peers", description=__doc__)
    names = [peer.name for peer in PEERS]
    parser.add_argument("--home", type=Path, default=Path(".headrace/bench"), help="where `make bench` keeps its own")
    parser.add_argument("--only", default=",".join(names), help=f"some of {','.join(names)}")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds for all that one peer does (%(default)g)")
    options = parser.parse_args()
    only = options.only.split(",")
    if unknown := set(only) - set(names):
        parser.error(f"no peer is called {', '.join(sorted(unknown))}")
    peers = [peer for peer in PEERS if peer.name in only]
    console = Console(width=200 if not sys.stdout.isatty() else None)
    asyncio.run(compare(options.home, peers, options.repeats, console, options.limit))


main()
