"""A dataset and its files, said to the catalogue: for the first time, or held to what was said before."""

from collections.abc import Iterable, Sequence
from typing import Any

from services.gateway.cli.dataset import Dataset, status
from services.gateway.cli.files import File, portions
from services.gateway.cli.trouble import FailedError, RefusedError

OPEN = frozenset({"filesNotReadyYet", "missingFilesError"})
"""In these states files are taken."""


def register(
    dataset: Dataset, there: dict[str, Any] | None, files: Sequence[File], about: dict[str, str]
) -> dict[str, Any]:
    """The dataset with exactly these files. `there`: what the catalogue knows already. FailedError if it is another."""
    if there is None:
        there = dataset.create(**about)
    if status(there) not in OPEN:
        return _held(dataset, files)
    try:
        _check_known(dataset, files, there["numberOfFiles"])
        for portion in portions(files):
            dataset.add(portion)
    except RefusedError as error:
        if error.status not in (404, 409):
            raise
        now = dataset.get()
        if status(now) not in OPEN:  # an earlier call's upload was packed meanwhile
            return _held(dataset, files)
        raise _other(dataset, str(error)) from None
    now = dataset.get()
    if (now["numberOfFiles"], now["size"]) != (len(files), sum(file.size for file in files)):
        raise _other(dataset, f"it has {now['numberOfFiles']} files of {now['size']} bytes in all")
    return now


def _check_known(dataset: Dataset, files: Sequence[File], count: int) -> None:
    """Files are registered in the order of their paths, so the `count` that are there are our first.

    Looked up before anything is added: files that do not belong there could not be taken away again. Only signing asks
    for files that are not packed yet.
    """
    if count > len(files):
        raise _other(dataset, f"it has {count} files")
    for portion in portions(files[:count]):
        dataset.sign(portion)


def _held(dataset: Dataset, files: Sequence[File]) -> dict[str, Any]:
    """The dataset as it is, if the files of its datablocks are these."""
    if (problem := difference(dataset.files(), files)) is not None:
        raise _other(dataset, problem)
    return dataset.get()


def difference(there: Iterable[dict[str, Any]], files: Sequence[File]) -> str | None:
    """The first thing in which files that are stored, and these, differ."""
    ours = {file.path: file for file in files}
    for one in there:
        mine = ours.pop(one["path"], None)
        if mine is None:
            return f"it has a file {one['path']!r} too"
        if (mine.size, mine.chk) != (one["size"], one["chk"]):
            return f"its {one['path']!r} has other content"
    return f"it has no file {min(ours)!r}" if ours else None


def check_about(there: dict[str, Any], given: dict[str, str | None]) -> None:
    """What was said on the command line is what the dataset says of itself. `given`: option → value, None: not said."""
    for option, field in (("--name", "datasetName"), ("--group", "ownerGroup")):
        if given[option] is not None and given[option] != there[field]:
            raise FailedError(f"dataset {there['pid']} is there already, with {option} {there[field]!r}")


def _other(dataset: Dataset, why: str) -> FailedError:
    return FailedError(
        f"dataset {dataset.pid} is there already, with other files: {why}. A dataset's files do not change: "
        "give another pid"
    )
