"""`make bench-pairs BASE=<commit>`: the four workloads on this code and on another commit's, in turn, as pairs.

A shared machine is fast in one minute and slow in the next, so two runs far apart do not compare. Here each pair of runs stands
close together, and which of the two comes first changes from pair to pair. Prints, for each workload, how many times longer this
code took than the other (1: the same; less than 1: faster) with the interval that holds 95 % of the resampled means, and writes
`.headrace/bench/pairs.json`. The other commit is checked out below `.headrace/bench/base`, with an environment of its own.
"""

import argparse
import math
import os
import random
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parents[2]
RESULT = Path(".headrace/bench/compute.json")
RESAMPLED = 10_000


def times(found: Mapping[str, Any]) -> dict[str, float]:
    """What one run of `make bench` took, by workload: seconds (median of its repeats), and milliseconds of a round trip."""
    taken = {
        name: statistics.median(found[name]["seconds"])
        for name in ("independent", "independent_100k", "chain", "layers")
    }
    return taken | {f"round trip {name}": found["rtt_ms"][name] for name in ("p50", "p99")}


def interval(ratios: Sequence[float]) -> tuple[float, float, float]:
    """The geometric mean of some ratios, and the bounds of the middle 95 % of means of as many drawn from them (bootstrap)."""
    logs = [math.log(ratio) for ratio in ratios]
    draw = random.Random(0)
    means = sorted(statistics.fmean(draw.choices(logs, k=len(logs))) for _ in range(RESAMPLED))
    low, high = means[int(0.025 * RESAMPLED)], means[int(0.975 * RESAMPLED)]
    return math.exp(statistics.fmean(logs)), math.exp(low), math.exp(high)


def check_out(commit: str) -> Path:
    """The folder of another commit's code, made or moved there."""
    folder = HERE / ".headrace/bench/base"
    if not folder.exists():
        _run("git", "clone", "--quiet", "--shared", "--no-checkout", str(HERE), str(folder))
    _run("git", "-C", str(folder), "fetch", "--quiet", "origin")
    _run("git", "-C", str(folder), "checkout", "--quiet", "--detach", commit)
    return folder


def bench(folder: Path, repeats: int) -> dict[str, float]:
    """One run in a checkout, with its own Makefile."""
    # Settings of the make that called us are not for this one.
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "ARGS")}
    _run("make", "-C", str(folder), "bench", f"ARGS=--no-peers --repeats {repeats}", env=environment)
    return times(msgspec.json.decode((folder / RESULT).read_bytes()))


def _run(*command: str, env: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(
        command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with status {done.returncode}:\n{done.stdout[-2000:]}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-pairs", description=__doc__)
    parser.add_argument("base", help="the commit to compare with")
    parser.add_argument("--pairs", type=int, default=10, help="runs of each (10)")
    parser.add_argument("--repeats", type=int, default=3, help="repeats of each workload in a run (3)")
    options = parser.parse_args()
    base, console = check_out(options.base), Console()
    runs: list[dict[str, Any]] = []
    for number in range(options.pairs):
        order = [("ours", HERE), ("base", base)]
        pair: dict[str, Any] = {"load_before": os.getloadavg()[0]}
        for name, folder in order if number % 2 else reversed(order):
            pair[name] = bench(folder, options.repeats)
        runs.append(pair)
        console.print(f"pair {number + 1} of {options.pairs}, load before {pair['load_before']:.1f}")
    table = Table("workload", "base", "ours", "ratio", "95 %", title=f"{options.pairs} pairs with {options.base}")
    found: dict[str, Any] = {"base": options.base, "runs": runs, "ratios": {}}
    for name in runs[0]["ours"]:
        ours, other = ([run[side][name] for run in runs] for side in ("ours", "base"))
        mean, low, high = interval([one / two for one, two in zip(ours, other, strict=True)])
        found["ratios"][name] = {"mean": mean, "low": low, "high": high}
        medians = (f"{statistics.median(each):.4g}" for each in (other, ours))
        table.add_row(name, *medians, f"{mean:.3f}", f"{low:.3f} to {high:.3f}")
    console.print(table)
    out = HERE / ".headrace/bench/pairs.json"
    out.write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    console.print(f"seconds, and milliseconds of a round trip; written to {out.relative_to(HERE)}")


if __name__ == "__main__":
    main()
