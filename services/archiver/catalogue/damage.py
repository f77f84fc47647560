"""Damage found on long-term storage: recorded, and cleared when the datablock is whole again.

A report is about one copy of a datablock; what came late, about a copy that has been replaced since, changes nothing.
"""

from typing import Final

from services.archiver.catalogue import builtin as catalogue
from services.archiver.catalogue.machine import ARCHIVE, BLOCK
from services.archiver.catalogue.store import datablocks, datasets
from services.archiver.catalogue.store.datasets import Row
from shared.contracts.catalogue import DatablockReport
from shared.service.unit import Unit

NAMED: Final = 10
"""Damaged datablocks that an explanation names; the others are counted."""


def verb_for(block: Row, asked: DatablockReport) -> str | None:
    """What a report does to a datablock: `damage`, `heal`, or nothing."""
    verb = "heal" if asked.damage is None else "damage"
    return verb if asked.copy == block["copy"] and block["state"] in BLOCK.sources(verb) else None


async def record(unit: Unit, dataset: Row, block: Row, asked: DatablockReport) -> Row:
    """Records a report; returns the datablock as it is then. The status of the dataset follows. The caller has locked both."""
    verb = verb_for(block, asked)
    if verb is None:
        return block
    db, id = unit.connection, block["id"]
    moved = await (datablocks.heal(db, id) if verb == "heal" else datablocks.damage(db, id, asked))
    assert moved is not None, "the verb was legal, and the row is locked"
    await follow(unit, dataset)
    return moved


async def follow(unit: Unit, dataset: Row) -> None:
    """The dataset's status after one of its datablocks was found damaged, or whole again. One that is being archived again
    keeps its status until that has ended."""
    row = await datasets.count_damaged(unit.connection, dataset["id"])
    verb = "damage" if row["damaged"] else "heal"
    moves = row["archive_state"] in ARCHIVE.sources(verb)
    await catalogue.set_lifecycle(
        unit,
        row["id"],
        archivable=bool(row["damaged"]) if moves else None,
        archive_state=ARCHIVE.target(verb) if moves else None,
    )
