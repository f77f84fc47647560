"""Explains why a dataset is where it is."""

from services.archiver.catalogue.damage import NAMED
from services.archiver.catalogue.machine import ArchiveState, BlockState, wire
from services.archiver.catalogue.store import datablocks
from services.archiver.catalogue.store.datasets import Row, damage_message
from shared.chain.chains import Chains
from shared.contracts.catalogue import DatasetState
from shared.contracts.errors import NotFound
from shared.db.sql import Db
from shared.runtime.clock import rfc3339

_MEANS = {
    ArchiveState.FILES_NOT_READY_YET: "is registered; its files are awaited, or are being packed",
    ArchiveState.DATASET_CREATED: "is packed and in staging: it may be archived",
    ArchiveState.STARTED: "is being archived",
    ArchiveState.DATASET_ON_ARCHIVE_DISK: "is on long-term storage, and was read back from there",
    ArchiveState.MISSING_FILES_ERROR: "was not uploaded as it was registered: upload what is missing, and finish again",
    ArchiveState.SCHEDULE_ARCHIVE_JOB_FAILED: "could not be archived; it may be tried again",
}


async def explain(db: Db, chains: Chains, row: Row) -> DatasetState:
    """One summary, then reasons from the most to the least decisive."""
    state = ArchiveState(row["archive_state"])
    reasons = await _damages(db, row)
    if row["chain"] is not None:
        try:
            chain = await chains.explain(row["chain"])
        except NotFound:  # long ended, and forgotten
            pass
        else:
            reasons += [chain.summary, *chain.reasons]
    if row["swept_at"] is not None:
        when = rfc3339(row["swept_at"])
        reasons.insert(0, f"what was uploaded was removed at {when}, because nobody went on with it: upload it again")
    for one in await datablocks.counts(db, row["id"]):
        reasons.append(
            f"{one['datablocks']} datablocks are {BlockState(one['state']).name.lower()}, {one['size']} bytes"
        )
    means = f"is damaged: {damage_message(row)}; archive it again from its source"
    if not row["damaged"] or state is ArchiveState.STARTED:
        means = _MEANS[state]
    return DatasetState(row["pid"], f"{row['pid']} {means} ({wire(state)})", reasons)


async def _damages(db: Db, row: Row) -> list[str]:
    if not row["damaged"]:
        return []
    blocks = await datablocks.damaged(db, row["id"], NAMED)
    named = [f"datablock {one['name']} {_damage(one)}, seen {rfc3339(one['found_at'])}" for one in blocks]
    return named + ([f"{row['damaged'] - NAMED} more datablocks are damaged"] if row["damaged"] > NAMED else [])


def _damage(block: Row) -> str:
    match block["damage"]:
        case "missing":
            return f"is not on {block['storage']}"
        case "unreadable":
            return f"cannot be read on {block['storage']}"
        case "size":
            return f"has {block['found_size']} bytes on {block['storage']}, {block['packed_size']} were written"
        case _:
            return f"hashes to {block['found_chk']} on {block['storage']}, {block['chk']} was written"
