"""Tables of the `headrace` command at 80, 120 and 200 columns: nothing is cut, whatever the terminal."""

import re
from collections.abc import Sequence
from typing import Any

import pytest
from rich.cells import cell_len

from shared.client.cli import show
from shared.client.cli.commands import compute, datasets, offers, partitions
from shared.client.cli.tables import lines
from shared.contracts.ids import submission_id, task_id

WIDTHS = pytest.mark.parametrize("width", [80, 120, 200])
SUBMISSION = submission_id()
TASKS = [str(task_id(SUBMISSION, line)) for line in range(3)]
ERROR = f"ValueError: no header in exposure m13/night-2026-03-01/0001.fits, which task {TASKS[0]} has written, at offset 2880"
REASONS = (
    "holds all 1.9 MB of headrace/astropy-3f2a in long-term storage site-a; 2 of 2 cores free; nobody waits before it"
)
LONG_PID = "20.500.12345/a3f1c2d4-7b21-4c52-9c0e-0123456789ab-exposures-of-the-first-light"


def rendered(heads: Sequence[str], rows: Sequence[Sequence[Any]], width: int) -> list[str]:
    return [line.plain for line in lines(heads, [[show.cell(value) for value in row] for row in rows], width)]


def check(heads: Sequence[str], rows: Sequence[Sequence[Any]], width: int) -> list[str]:
    """The lines of a table that fits, and in which every word of every cell stands whole."""
    found = rendered(heads, rows, width)
    assert all(cell_len(line) <= width for line in found), found
    words = re.split(r"\s+", " ".join(found))
    for row in rows:
        for value in row:
            for word in show.cell(value).plain.split():
                assert word in words, (word, found)
    return found


@WIDTHS
def test_tasks_show_their_ids_and_errors(width: int) -> None:
    rows = [
        (TASKS[0], "completed", "measure", "default", 0, "worker-1", ""),
        (TASKS[1], "error", "catalogue", "site-a", 2, "worker-2", ERROR),
        (TASKS[2], "pending", "catalogue", "site-a", 0, "", ""),
    ]
    found = check(compute.TASKS, rows, width)
    assert next(line for line in found if line.startswith(TASKS[2])).split()[:2] == [TASKS[2], "pending"]


@WIDTHS
def test_datasets_show_their_pids_files_and_groups(width: int) -> None:
    rows = [
        (
            LONG_PID,
            "First light of the new camera",
            "datasetOnArchiveDisk",
            1204,
            "1.9 GiB",
            3,
            1,
            "m13",
            "2026-03-01 22:10:05",
        ),
        ("a/b", "", "filesNotReadyYet", 0, "0 B", 0, "", "users", "2026-03-01 22:10:05"),
    ]
    check(datasets.HEADS, rows, width)


@WIDTHS
def test_offers_show_their_reasons(width: int) -> None:
    rows = [("*", TASKS[0], "site-a", "OFFERED", "0.0 s", "0.0 s", 2, REASONS)]
    check(offers.HEADS, rows, width)


@WIDTHS
def test_status_shows_whole_words(width: int) -> None:
    notes = "12 wait for function measure, which no live worker has; worker w-1 is unwell: no space left on device"
    received = {
        "name": "default",
        "workers": 2,
        "slots": 16,
        "outstanding": 10_000,
        "running": 16,
        "waiting": 1_000_000,
    }
    received |= {"priority": 1, "reserve": 0, "max": None}
    row = [*partitions.row(received)]
    check(partitions.HEADS, [row], width)
    check(partitions.HEADS, [[*row[:-1], notes]], width)
    heads = ("stream", "messages", "size", "consumer: pending / unacknowledged")
    consumers = [f"tasks-partition-{n}: {n} / 0" for n in range(12)]
    check(heads, [("TASKS", 12, "3.0 KiB", consumers)], width)


def test_what_has_room_stands_side_by_side() -> None:
    heads = ("id", "status", "error")
    assert rendered(heads, [(TASKS[0], "error", "disk full")], 80) == [
        f"{'id':36}  status  error",
        f"{TASKS[0]}  error   disk full",
    ]


def test_what_has_no_room_stands_below_under_its_name() -> None:
    heads = ("id", "worker", "error", "checksum")
    assert rendered(
        heads, [(TASKS[0], "w", "the disk of the store is full", "c" * 40), (TASKS[1], "w", "", "")], 70
    ) == [
        f"{'id':36}  worker  error",
        f"{TASKS[0]}  w       the disk of the store is",
        f"{'':46}full",
        f"    checksum: {'c' * 40}",
        f"{TASKS[1]}  w",
    ]


def test_an_id_wider_than_the_terminal_is_not_cut() -> None:
    assert rendered(("id", "status"), [(TASKS[0], "ok")], 20) == ["id", TASKS[0], "    status: ok"]
