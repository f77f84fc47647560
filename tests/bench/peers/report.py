"""From what the scripts measured to figures, `compute.json` and one table with ratios."""

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from rich.table import Table

from deploy.local.home import write_file
from tests.bench.peers.catalogue import Peer

Figures = dict[str, Any]


def figures(peer: Peer, seconds: Mapping[str, list[float]], trips_ms: list[float]) -> Figures:
    """Under the names of Headrace's own: medians over the runs, per second or in ms."""
    median = {name: statistics.median(runs) for name, runs in seconds.items()}
    times = sorted(trips_ms)
    return {
        "independent_per_s": round(peer.tasks["independent"] / median["independent"]),
        "chain_ms_per_hop": round(median["chain"] / peer.tasks["chain"] * 1e3, 3),
        "layers_per_s": round(peer.tasks["layers"] / median["layers"]),
        "rtt_ms": {"p50": round(times[len(times) // 2], 2), "p99": round(times[int(len(times) * 0.99)], 2)},
        "seconds": {name: [round(run, 4) for run in runs] for name, runs in seconds.items()},
    }


def about(peer: Peer) -> Figures:
    """What is known of a peer before it has run."""
    return {
        "version": peer.version,
        "durable": peer.durable,
        "graph": peer.graph,
        "setting": peer.setting,
        "tasks": peer.tasks,
    }


def read(file: Path) -> Figures:
    """`compute.json`; empty if nothing has been measured yet."""
    found: Figures = msgspec.json.decode(file.read_bytes()) if file.exists() else {}
    return found


def merge(file: Path, name: str, found: Figures) -> None:
    """Puts one peer's figures in place of those it had; leaves everything else in `compute.json` as it was."""
    whole = read(file)
    whole["peers"] = {**whole.get("peers", {}), name: found}
    write_file(file, msgspec.json.format(msgspec.json.encode(whole)) + b"\n")


def ratio(ours: float | None, theirs: float | None, *, less_is_better: bool) -> str:
    """How many times faster Headrace is, for people: under 1 it is the slower one. Empty if one of them is not known."""
    if not ours or not theirs:
        return ""
    times = theirs / ours if less_is_better else ours / theirs
    return f"{times:.0f}×" if times >= 10 else f"{times:.1f}×" if times >= 1 else f"{times:.2f}×"


def table(whole: Mapping[str, Any]) -> Table:
    """`compute.json` as one table: Headrace, then its peers, each figure with how many times faster Headrace is."""
    made = Table(title="Headrace and its peers (×: how many times faster Headrace is)")
    for heading in ("", "version"):
        made.add_column(heading)
    for heading in ("independent/s", "chain, ms a hop", "layers/s", "round trip p50, ms", "p99"):
        made.add_column(heading, justify="right")
    made.add_column("tasks: independent, chain, layers", justify="right")
    for heading in ("graph", "durable"):
        made.add_column(heading)
    made.add_column("other CPU", justify="right")
    made.add_row("headrace", "", *_cells(whole, {}), "10,000, 1,000, 5,100", "native", "PostgreSQL, fsync on")
    for name, peer in whole.get("peers", {}).items():
        if "error" in peer:
            made.add_row(name, peer["version"], "failed")
            continue
        counts = ", ".join(f"{peer['tasks'][workload]:,}" for workload in ("independent", "chain", "layers"))
        made.add_row(
            *(name, peer["version"], *_cells(peer, whole), counts, peer["graph"], peer["durable"]),
            f"{peer['other_cpu']:.0%}",
        )
    return made


def failures(whole: Mapping[str, Any]) -> list[str]:
    """Why peers failed."""
    return [f"{name}: {peer['error']}" for name, peer in whole.get("peers", {}).items() if "error" in peer]


def _cells(own: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    def cell(value: float | None, other: float | None, *, less_is_better: bool) -> str:
        if value is None:
            return "?"
        return f"{value:,} {ratio(other, value, less_is_better=less_is_better):>6}"

    trip, our_trip = own.get("rtt_ms", {}), ours.get("rtt_ms", {})
    return [
        cell(own.get("independent_per_s"), ours.get("independent_per_s"), less_is_better=False),
        cell(own.get("chain_ms_per_hop"), ours.get("chain_ms_per_hop"), less_is_better=True),
        cell(own.get("layers_per_s"), ours.get("layers_per_s"), less_is_better=False),
        cell(trip.get("p50"), our_trip.get("p50"), less_is_better=True),
        cell(trip.get("p99"), our_trip.get("p99"), less_is_better=True),
    ]
