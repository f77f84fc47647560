"""A dataset that is damaged on long-term storage, archived again: which of its files have to come once more."""

from collections.abc import Sequence
from typing import Any

from shared.client.datasets import OneDataset
from shared.client.files import File


def is_damaged(dataset: dict[str, Any]) -> bool:
    """Whether datablocks of it are damaged, and nobody is archiving it again already."""
    lifecycle = dataset["datasetlifecycle"]
    return bool(dataset.get("numberOfDamagedDatablocks")) and lifecycle["archiveStatusMessage"] != "started"


async def to_repair(dataset: OneDataset, files: Sequence[File]) -> tuple[list[str], list[File]]:
    """The names of the damaged datablocks, and those of the files that belong into them."""
    blocks = [block async for block in dataset.datablocks() if block["status"] == "damaged"]
    paths = {file["path"] for block in blocks async for file in dataset.files(block["id"])}
    names = [block["archiveId"].rpartition("/")[2] for block in blocks]
    return names, [file for file in files if file.path in paths]
