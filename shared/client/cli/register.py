"""Registers a dataset and its files, or compares them with those that are registered already."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shared.client.datasets import OneDataset, archive_status
from shared.client.errors import FailedError, RefusedError
from shared.client.files import File, portions

OPEN = frozenset({"filesNotReadyYet", "missingFilesError"})
"""In these states files are taken."""


async def register(
    dataset: OneDataset, there: dict[str, Any] | None, files: Sequence[File], about: dict[str, str]
) -> tuple[dict[str, Any], list[File]]:
    """The dataset with exactly these files, and those of them that are still to be uploaded.

    `there`: what the catalogue knows already. A file that has changed since is registered anew. FailedError if it is another
    dataset: one that has files which are not among these, or one that is packed with other content.
    """
    known: dict[str, dict[str, Any]] = {}
    try:
        if there is None:
            there = await dataset.create(**about)
        elif archive_status(there) in OPEN:
            known = {one["path"]: one async for one in dataset.uploads()}
        if archive_status(there) not in OPEN:
            return await _held(dataset, files), []
        if foreign := known.keys() - {file.path for file in files}:
            raise _other(dataset, f"it has a file {min(foreign)!r} too")
        for portion in portions([file for file in files if not _is_registered(file, known)]):
            await dataset.add(
                [file.described() for file in portion], replace=any(file.path in known for file in portion)
            )
    except RefusedError as error:
        if error.status not in (404, 409):
            raise
        now = await dataset.get()
        if archive_status(now) not in OPEN:  # an earlier call's upload was packed meanwhile
            return await _held(dataset, files), []
        raise _other(dataset, str(error)) from None
    now = await dataset.get()
    if (now["numberOfFiles"], now["size"]) != (len(files), sum(file.size for file in files)):
        raise _other(dataset, f"it has {now['numberOfFiles']} files of {now['size']} bytes in all")
    return now, [file for file in files if not (_is_registered(file, known) and known[file.path]["uploaded"])]


def _is_registered(file: File, known: Mapping[str, dict[str, Any]]) -> bool:
    """With the content that it has now."""
    one = known.get(file.path)
    return one is not None and (one["size"], one["chk"]) == (file.size, file.chk)


async def _held(dataset: OneDataset, files: Sequence[File]) -> dict[str, Any]:
    """The dataset as it is, if the files of its datablocks are these."""
    if (problem := difference([one async for one in dataset.files()], files)) is not None:
        raise _other(dataset, problem)
    return await dataset.get()


def difference(there: Iterable[dict[str, Any]], files: Sequence[File]) -> str | None:
    """The first thing in which files that are stored, and these, differ."""
    ours = {file.path: file for file in files}
    for one in there:
        local = ours.pop(one["path"], None)
        if local is None:
            return f"it has a file {one['path']!r} too"
        if (local.size, local.chk) != (one["size"], one["chk"]):
            return f"its {one['path']!r} has other content"
    return f"it has no file {min(ours)!r}" if ours else None


def check_about(there: dict[str, Any], given: dict[str, str | None]) -> None:
    """The metadata of a dataset from the options of the command line. `given`: option → value, None: not given."""
    for option, field in (("--name", "datasetName"), ("--group", "ownerGroup")):
        if given[option] is not None and given[option] != there[field]:
            raise FailedError(f"dataset {there['pid']} is there already, with {option} {there[field]!r}")


def _other(dataset: OneDataset, why: str) -> FailedError:
    return FailedError(
        f"dataset {dataset.pid} is there already, with other files: {why}. Give another pid, or, if it is not archived, free "
        f"this one: headrace dataset abandon {dataset.pid}"
    )
