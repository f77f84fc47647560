"""Where the archiver puts things, and what it calls their states."""

from enum import IntEnum
from typing import Any, get_args

import pytest

from services.archiver.catalogue import layout
from services.archiver.catalogue.machine import ARCHIVE, BLOCK, INNER, JOB, MACHINES, RETRIEVE, JobState, verb_to, wire
from shared.contracts import catalogue
from shared.contracts.catalogue import LONGEST_PATH
from shared.contracts.errors import Conflict
from shared.contracts.ids import uuid7
from shared.objects.layout import LONGEST_KEY
from shared.runtime.machine import Machine

DATASET = uuid7()
PREFIX = len(layout.landing_prefix(DATASET))


@pytest.mark.parametrize(
    ("machine", "literal"),
    [(ARCHIVE, catalogue.ArchiveStatus), (RETRIEVE, catalogue.RetrieveStatus), (JOB, catalogue.JobStatus)],
)
def test_the_states_are_scicat_s_words_and_each_can_be_reached(machine: Machine[Any], literal: Any) -> None:
    assert {wire(state) for state in machine.kind} == set(get_args(literal))
    assert reachable(machine) == set(machine.kind)


def reachable(machine: Machine[Any]) -> set[IntEnum]:
    there = {machine.initial}
    while more := {target for sources, target in machine.moves.values() if sources & there} - there:
        there |= more
    return there


def test_a_datablock_can_be_in_each_of_its_states() -> None:
    assert reachable(BLOCK) == set(BLOCK.kind)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.noun)
def test_one_verb_leads_to_a_state(machine: Machine[Any]) -> None:
    """Others name the state that they want: which verb that is must be clear."""
    targets = [target for verb, (_, target) in machine.moves.items() if verb not in INNER]
    assert len(set(targets)) == len(targets)


def test_nothing_leads_back_to_the_beginning() -> None:
    assert verb_to(JOB, JobState.IN_PROGRESS) == "begin"
    with pytest.raises(Conflict, match="JOB_SUBMITTED is where a job begins"):
        verb_to(JOB, JobState.JOB_SUBMITTED)


def test_the_longest_path_is_the_longest_key() -> None:
    assert PREFIX + LONGEST_PATH == LONGEST_KEY


def test_folders_of_a_path() -> None:
    assert layout.folders("a/b/c") == ["a", "a/b"]
    assert layout.folders("a") == []


def test_keys_keep_their_rooms_apart() -> None:
    assert layout.landing_key(DATASET, "a/b") == f"landing/{DATASET}/a/b"
    one, two = (layout.staging_key(DATASET, "x_0") for _ in range(2))
    assert one != two
    assert one.startswith(layout.staging_prefix(DATASET))
    assert one.endswith("/x_0.tar")
    archived = layout.archive_id(DATASET, layout.block_name("headrace/m13", 2))
    assert archived == f"datasets/{DATASET}/datablocks/headrace-m13_2.tar"
    assert layout.manifest_key(archived) == f"{archived}.manifest-sha256.txt"
