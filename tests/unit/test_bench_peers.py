"""What `make bench-peers` does without its peers: figures, `compute.json`, the table, and leaving no process behind."""

import io
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from tests.bench.peers import report
from tests.bench.peers.catalogue import PEERS, Peer
from tests.bench.peers.run import Measured, end_session, session
from tests.support.wait import wait_until

DASK = PEERS[0]
SMALL = msgspec.structs.replace(DASK, independent=1000, chain=10, depth=2, width=49, trips=4)
OURS = {
    "independent_per_s": 20_000,
    "chain_ms_per_hop": 2.0,
    "layers_per_s": 5_000,
    "rtt_ms": {"p50": 8.0, "p99": 12.0},
    "cores": 2,
}


def found(**more: object) -> report.Figures:
    measured = Measured({"independent": [9, 2, 1], "chain": [0.05], "layers": [0.5]}, [4, 1, 3, 2])
    return report.about(SMALL) | {"other_cpu": 0.25} | report.figures(SMALL, measured.seconds, measured.trips_ms) | more


def test_figures_are_medians_under_the_names_of_headrace() -> None:
    figures = found()
    assert figures["independent_per_s"] == 500
    assert figures["chain_ms_per_hop"] == 5.0
    assert figures["layers_per_s"] == 200
    assert figures["rtt_ms"] == {"p50": 3, "p99": 4}
    assert figures["tasks"] == {"independent": 1000, "chain": 10, "layers": 100, "rtt": 4}
    assert figures.keys() > OURS.keys() - {"cores"}


def test_merging_keeps_what_others_have_written(tmp_path: Path) -> None:
    file = tmp_path / "compute.json"
    file.write_bytes(msgspec.json.encode(OURS | {"peers": {"ray": {"layers_per_s": 1}, "dask": {"layers_per_s": 2}}}))
    report.merge(file, "dask", {"layers_per_s": 3})
    report.merge(file, "parsl", {"error": "no"})
    peers = {"ray": {"layers_per_s": 1}, "dask": {"layers_per_s": 3}, "parsl": {"error": "no"}}
    assert report.read(file) == OURS | {"peers": peers}


def test_merging_begins_a_file_that_is_not_there(tmp_path: Path) -> None:
    report.merge(tmp_path / "compute.json", "dask", {"layers_per_s": 3})
    assert report.read(tmp_path / "compute.json") == {"peers": {"dask": {"layers_per_s": 3}}}


@pytest.mark.parametrize(
    ("ours", "theirs", "less_is_better", "received"),
    [
        (20_000, 500, False, "40×"),
        (500, 1000, False, "0.50×"),
        (2.0, 5.0, True, "2.5×"),
        (8.0, 4.0, True, "0.50×"),
        (None, 4.0, True, ""),
        (8.0, None, True, ""),
    ],
)
def test_the_ratio_says_how_many_times_faster_headrace_is(
    ours: float | None, theirs: float | None, less_is_better: bool, received: str
) -> None:
    assert report.ratio(ours, theirs, less_is_better=less_is_better) == received


def rows(whole: report.Figures) -> dict[str, list[str]]:
    printed = io.StringIO()
    Console(width=220, file=printed).print(report.table(whole))
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in printed.getvalue().splitlines()]
    return {line[0]: line[1:] for line in lines if line}


def test_the_table_has_a_row_for_each_peer_also_for_one_that_failed() -> None:
    whole = OURS | {"peers": {"dask": found(), "ray": report.about(SMALL) | {"error": "no room"}}}
    shown = rows(whole)
    assert shown["headrace"][1:3] == ["20,000", "2.0"]
    figures = [re.sub(r" +", " ", cell) for cell in shown["dask"][1:7]]
    assert figures == ["500 40×", "5.0 2.5×", "200 25×", "3 0.38×", "4 0.33×", "1,000, 10, 100"]
    assert shown["dask"][-1] == "25%"
    assert shown["ray"][1] == "failed"
    assert report.failures(whole) == ["ray: no room"]


def test_the_table_without_figures_of_our_own_has_no_ratios() -> None:
    shown = rows({"peers": {"dask": found()}})
    assert shown["headrace"][1] == "?"
    assert shown["dask"][1] == "500"


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_the_lock_pins_what_the_script_names(peer: Peer) -> None:
    block = re.search(r"^# /// script\n(.*?)^# ///$", peer.script.read_text(), re.MULTILINE | re.DOTALL)
    assert block is not None
    wanted = tomllib.loads(re.sub(r"^# ?", "", block[1], flags=re.MULTILINE))["dependencies"]
    pinned = dict(re.findall(r"^([a-z0-9-]+)==(\S+) \\$", peer.lock.read_text(), re.MULTILINE))
    for requirement in wanted:
        name, version = re.sub(r"\[.*\]", "", requirement).split("==")
        assert pinned[name] == version
    assert peer.version == pinned[peer.package]


async def test_nothing_of_a_session_is_left_even_if_its_parent_is_gone() -> None:
    orphan = "import os, time; os.setpgid(0, 0); time.sleep(600)"
    leader = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {orphan!r}])"
    process = subprocess.Popen([sys.executable, "-c", leader], start_new_session=True)
    process.wait()
    left = await wait_until(lambda: session(process.pid), on_timeout="the orphan is not seen")
    assert process.pid not in left
    await end_session(process.pid)
    assert session(process.pid) == []
