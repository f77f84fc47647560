"""What is found on long-term storage other than it was written: recorded, and taken back when it is whole again.

A report is about one copy of a datablock; what came late, about a copy that has been replaced since, changes nothing.
"""

from typing import Final

from services.archiver.catalogue import builtin as catalogue
from services.archiver.catalogue import store
from services.archiver.catalogue.machine import ARCHIVE, BLOCK, BlockState
from shared.contracts.catalogue import DatablockReport
from shared.service.unit import Unit

Q = store.Q
NAMED: Final = 10
"""Damaged datablocks that an explanation names; the others are counted."""


def verb_for(block: store.Row, asked: DatablockReport) -> str | None:
    """What a report does to a datablock: `damage`, `heal`, or nothing."""
    verb = "heal" if asked.damage is None else "damage"
    return verb if asked.copy == block["copy"] and block["state"] in BLOCK.sources(verb) else None


async def record(unit: Unit, dataset: store.Row, block: store.Row, asked: DatablockReport) -> store.Row:
    """The datablock as it is then; the dataset follows. The caller has locked both."""
    verb = verb_for(block, asked)
    if verb is None:
        return block
    query = "whole_block" if verb == "heal" else "damage_block"
    found = () if verb == "heal" else (asked.damage, asked.found_size, asked.found_chk)
    moved: store.Row = await unit.connection.fetchrow(
        Q[query], block["id"], int(BLOCK.target(verb)), BLOCK.sources(verb), *found
    )
    await follow(unit, dataset)
    return moved


async def count(unit: Unit, dataset: store.Row) -> store.Row:
    """The dataset with its damaged datablocks counted anew."""
    row: store.Row = await unit.connection.fetchrow(Q["count_damaged"], dataset["id"], int(BlockState.DAMAGED))
    return row


async def follow(unit: Unit, dataset: store.Row) -> None:
    """The dataset's status after one of its datablocks was found damaged, or whole again. One that is being archived again
    keeps its status until that has ended."""
    row = await count(unit, dataset)
    verb = "damage" if row["damaged"] else "heal"
    moves = row["archive_state"] in ARCHIVE.sources(verb)
    await catalogue.set_lifecycle(
        unit,
        row["id"],
        archivable=bool(row["damaged"]) if moves else None,
        archive_state=int(ARCHIVE.target(verb)) if moves else None,
    )
