"""Files into long-term storage."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from shared.client.cli.options import PLAIN, Output, add
from shared.client.errors import RefusedError, UsageError
from shared.objects.layout import name_fault

STORED = "datasetOnArchiveDisk"


def register(app: App) -> None:
    """Adds the commands of this module to `app`."""
    add(app, archive)


def archive(
    pid: str,
    /,
    *paths: Path,
    name: Annotated[str | None, Parameter(help="What people call it.")] = None,
    group: Annotated[str | None, Parameter(help="Whose it is; `users` if not given.")] = None,
    no_wait: Annotated[
        bool, Parameter(negative="", show_default=False, help="Return when it is packed and the job is handed in.")
    ] = False,
    output: Output = PLAIN,
) -> None:
    """Bring files to long-term storage, as a new dataset.

    The same call again goes on where an earlier one was broken off: what is uploaded already is not sent again, and a file that
    has changed is registered anew. Where datablocks are damaged on long-term storage, it repairs them. `headrace dataset
    abandon` gives the dataset up. Symbolic links are passed over.

    Parameters
    ----------
    pid
        The name of the dataset, for good: `20.500.12345/a3f1`, or one word.
    paths
        Files and folders. What lies in a folder keeps its path in it.

    Examples:

    headrace archive night/2026-03-01 exposures/

    headrace archive night/2026-03-01 exposures/ --name "First light" --group m13 --json | jq .datablocks
    """
    if not paths:
        raise UsageError("say which files or folders")
    from shared.client.cli.api import Api
    from shared.client.files import find

    files, links = find(paths)
    with Api() as api:
        dataset = api.client.datasets.one(pid)
        given = {"--name": name, "--group": group}
        outcome = api.run(_archive(api.client, dataset, files, given, _source(paths), no_wait, output.json))
        datablocks = list(api.each(dataset.datablocks()))
    _show(outcome | {"datablocks": datablocks, "links": links}, output)


async def _archive(
    client: Any,
    dataset: Any,
    files: Sequence[Any],
    given: dict[str, str | None],
    source: str,
    no_wait: bool,
    quiet: bool,
) -> dict[str, Any]:
    from shared.client.cli import archive_steps
    from shared.client.cli.progress_bars import by_bytes, by_steps
    from shared.client.cli.register import OPEN, check_about, register
    from shared.client.cli.repair import is_damaged, to_repair
    from shared.client.datasets import archive_status
    from shared.client.files import hashed

    there = await dataset.find()  # before anything long: whether anybody answers, and whether it is this dataset
    if there is not None:
        check_about(there, given)
    with by_bytes("hash", sum(file.size for file in files), quiet=quiet) as advance:
        files = [await asyncio.to_thread(hashed, file, advance) for file in files]
    about = {"datasetName": given["--name"], "ownerGroup": given["--group"], "sourceFolder": source}
    fields = {name: value for name, value in about.items() if value is not None}
    seen, missing = await register(dataset, there, files, fields)
    if archive_status(seen) == STORED:
        return {"dataset": seen, "job": None, "already": True, "sent": 0}
    repaired: list[str] = []
    if is_damaged(seen):
        repaired, missing = await to_repair(dataset, files)
        with by_bytes("upload", sum(file.size for file in missing), quiet=quiet) as advance:
            await _upload(client, dataset, missing, advance)
    if archive_status(seen) in OPEN:
        total = sum(file.size for file in files)
        with by_bytes("upload", total, quiet=quiet) as advance:
            advance(total - sum(file.size for file in missing))
            await _upload(client, dataset, missing, advance)
        with by_steps("pack", quiet=quiet) as note:
            await archive_steps.pack(dataset, note)
    with by_steps("archive", quiet=quiet) as note:
        job = await archive_steps.hand_in(dataset, note)
        if not no_wait:
            await archive_steps.store(dataset, job, note)
    return {"dataset": await dataset.get(), "job": job, "already": False, "sent": len(missing), "repaired": repaired}


async def _upload(client: Any, dataset: Any, files: Sequence[Any], advance: Any) -> None:
    """Portion by portion, so that few tasks and addresses are under way at once."""
    from shared.client.cli.register import OPEN
    from shared.client.datasets import archive_status
    from shared.client.files import portions
    from shared.client.upload_addresses import Addresses
    from shared.client.uploads import upload_all

    for portion in portions(files):
        addresses = Addresses(dataset.sign, [file.path for file in portion])
        try:
            await upload_all(client.object_storage, portion, addresses, advance)
        except RefusedError as error:  # no address was given
            if error.status == 409 and archive_status(await dataset.get()) not in OPEN:
                return  # an earlier call had found that all is there, and it was
            raise


def _source(paths: Sequence[Path]) -> str:
    """The folder that they come from, for the catalogue; `/` if it has no name that can be shown."""
    folders = [os.path.abspath(path if path.is_dir() else path.parent) for path in paths]
    source = os.path.commonpath(folders)
    return source if len(source) <= 1000 and not any(map(name_fault, source.split("/")[1:])) else "/"


def _show(outcome: dict[str, Any], output: Output) -> None:
    from shared.client.cli import show

    if output.json:
        show.document(outcome)
        return
    dataset = outcome["dataset"]
    size = f"{dataset['numberOfFiles']} files, {show.size(dataset['size'])}"
    if outcome["already"]:
        show.console().print(show.cell(f"{dataset['pid']} is on long-term storage already: {size}"))
    else:
        status = dataset["datasetlifecycle"]["archiveStatusMessage"]
        facts = [("dataset", dataset["pid"]), ("files", size), ("status", status), ("job", outcome["job"])]
        show.facts([*facts, ("repaired", outcome["repaired"])])
    show.table("Datablocks", *datablock_table(outcome["datablocks"]))
    if outcome["links"]:
        show.console().print(show.cell(f"passed over, as symbolic links: {', '.join(outcome['links'])}"))


def datablock_table(blocks: Sequence[dict[str, Any]]) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """The heading and the rows of a table of datablocks, one row a datablock."""
    from shared.client.cli import show

    rows = [
        (
            one["archiveId"].rpartition("/")[2],
            one["numberOfFiles"],
            show.size(one["packedSize"]),
            one["storage"],
            one.get("status", ""),
        )
        for one in blocks
    ]
    return ("datablock", "files", "size", "storage", "status"), rows
