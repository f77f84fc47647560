"""Values of results: handed in, taken home, imported, deleted, waited for."""

import sys
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import msgspec
from cyclopts import App, Parameter

from shared.client.cli.options import PLAIN, Output, add
from shared.client.errors import FailedError, UsageError

PORTION = 1000
"""Results that one request takes."""
WATCHED = 2.0
"""Seconds after which a request for results answers in any case where somebody looks at the bar."""


class Source(msgspec.Struct, frozen=True):
    """A value to upload: `name` for people; `file` None: stdin; `size` in bytes, 0 if it is not known."""

    name: str
    file: Path | None
    size: int


def register(app: App) -> None:
    """Adds the commands of this module to `app`."""
    for command in (result, upload, download, wait):
        add(app, command)
    add(app, import_, name="import")
    add(app, delete_data, name="delete-data")


def result(result: str, /, *, output: Output = PLAIN) -> None:
    """A result: its state, its size, its checksum, where its value lies, which task produces it.

    Examples:

    headrace result 019a6f2e-5d3c-7a10-8c44-000300000700
    """
    from shared.client.cli import show
    from shared.client.cli.api import Api
    from shared.client.paths import COMPUTE

    with Api() as api:
        found = api.get(f"{COMPUTE}/results/{result}")
    show.document(found) if output.json else show.facts(found.items())


def upload(
    *files: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    session: Annotated[
        str | None, Parameter(help="Make a result for each file in this session, named like it.")
    ] = None,
    result: Annotated[str | None, Parameter(help="Give this result its value: one file.")] = None,
    output: Output = PLAIN,
) -> None:
    """Give results their values: files of any size. What arrives is compared with what was read here.

    Parameters
    ----------
    files
        Their names, or `-` for stdin.

    Examples:

    headrace upload exposures/*.fits --session 019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f

    tar c night | headrace upload - --result 019a6f2e-5d3c-7a10-8c44-000300000700
    """
    if (session is None) == (result is None):
        raise UsageError("give either --session or --result")
    if not files or (result is not None and len(files) != 1):
        raise UsageError("give one file for --result" if result is not None else "give at least one file")
    from shared.client.cli import show
    from shared.client.cli.api import Api
    from shared.client.cli.progress_bars import by_bytes
    from shared.client.paths import COMPUTE
    from shared.client.values import stream_value, upload_value

    sources = [_source(file) for file in files]
    with Api() as api:
        names = [result] if result is not None else []
        for start in range(0, len(sources) if session is not None else 0, PORTION):
            asked = [{"name": one.name} for one in sources[start : start + PORTION]]
            made = api.post(f"{COMPUTE}/sessions/{session}/results", {"results": asked})
            names += [one["id"] for one in made["results"]]
        documents = []
        http = api.client.http
        with by_bytes("upload", sum(one.size for one in sources), quiet=output.json) as advance:
            for name, one in zip(names, sources, strict=True):
                if one.file is None:
                    call = stream_value(http, name, sys.stdin.buffer, advance)
                else:
                    call = upload_value(http, name, one.file, advance)
                documents.append(api.run(call))
    if output.json:
        show.document(documents[0] if result is not None else {"results": documents})
    else:
        _table("Uploaded", documents)


def download(
    result: str,
    /,
    *,
    to: Annotated[
        Path | None, Parameter(name=["--output", "-o"], help="The file to write; stdout if not given.")
    ] = None,
    output: Output = PLAIN,
) -> None:
    """Take a result's value home.

    Into a file it goes on where the connection broke, also where an earlier call was broken off, and its checksum is
    checked; the file is there when all of it is.

    Examples:

    headrace download 019a6f2e-5d3c-7a10-8c44-000300000700 -o image.fits

    headrace download 019a6f2e-5d3c-7a10-8c44-000300000700 | jq .
    """
    if to is None and sys.stdout.isatty() and not output.json:
        raise UsageError("a value may be binary: give -o <file>, or send it through a pipe")
    if to is None and output.json:
        raise UsageError("--json describes the file: give -o <file>")
    from shared.client.cli import show
    from shared.client.cli.api import Api

    with Api() as api:
        if to is None:
            for block in api.each(api.client.results.stream(result)):
                sys.stdout.buffer.write(block)
            sys.stdout.flush()
            return
        count = _download(api, result, to, quiet=output.json)
    if output.json:
        show.document({"result": result, "file": str(to), "bytes": count})
    else:
        show.console().print(show.cell(f"{to}: {show.size(count)}"))


def import_(session: str, /, *objects: str, output: Output = PLAIN) -> None:
    """Make objects that are in object storage already the values of results. They stay their owner's.

    Parameters
    ----------
    objects
        Keys in the bucket: a result is made for each, named like the key's last part. Or `<result>=<key>`.

    Examples:

    headrace import 019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f shared/flat.fits shared/dark.fits

    headrace import 019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f 019a6f2e-5d3c-7a10-8c44-000300000700=shared/flat.fits
    """
    if not objects:
        raise UsageError("give at least one key")
    from shared.client.cli import show
    from shared.client.cli.api import Api
    from shared.client.paths import COMPUTE

    documents: list[dict[str, Any]] = []
    with Api() as api:
        for start in range(0, len(objects), PORTION):
            pairs = [_pair(text) for text in objects[start : start + PORTION]]
            new = [{"name": key.rpartition("/")[2][-255:]} for result, key in pairs if not result]
            path = f"{COMPUTE}/sessions/{session}/results"
            made = [one["id"] for one in api.post(path, {"results": new})["results"]] if new else []
            names = iter(made)
            asked = [{"result": result or next(names), "object": key} for result, key in pairs]
            try:
                documents += api.post(f"{path}/import", {"objects": asked}, timeout=90)["results"]
            except Exception:
                if made:  # nobody knows of them
                    api.post(f"{path}/delete", {"results": made})
                raise
    show.document({"results": documents}) if output.json else _table("Imported", documents)


def _pair(text: str) -> tuple[str, str]:
    """The result, empty if there is none, and the key."""
    head, equals, tail = text.partition("=")
    try:
        return (str(UUID(head)), tail) if equals else ("", text)
    except ValueError:
        return "", text


def delete_data(*results: str, output: Output = PLAIN) -> None:
    """Delete the values of results. An imported object stays. What a task still needs is not deleted.

    Examples:

    headrace delete-data 019a6f2e-5d3c-7a10-8c44-000300000700
    """
    if not results:
        raise UsageError("give at least one result")
    from shared.client.cli import show
    from shared.client.cli.api import Api
    from shared.client.paths import COMPUTE

    documents: list[dict[str, Any]] = []
    with Api() as api:
        sessions: dict[str, list[str]] = {}
        for name in results:
            sessions.setdefault(api.get(f"{COMPUTE}/results/{name}")["session"], []).append(name)
        for session, names in sessions.items():
            for start in range(0, len(names), PORTION):
                asked = {"results": names[start : start + PORTION]}
                documents += api.post(f"{COMPUTE}/sessions/{session}/results/delete", asked)["results"]
    show.document({"results": documents}) if output.json else _table("Deleted", documents)


def wait(
    *results: str,
    any: Annotated[bool, Parameter(negative="", show_default=False, help="Until one of them has ended.")] = False,
    timeout: Annotated[float | None, Parameter(help="Seconds; for ever if not given.")] = None,
    output: Output = PLAIN,
) -> None:
    """Wait until results have their values. Exit code 1 if one will never have its, or the time is over.

    Examples:

    headrace wait 019a6f2e-5d3c-7a10-8c44-000300000700 --timeout 600
    """
    if not results:
        raise UsageError("give at least one result")
    from shared.client.cli import show
    from shared.client.cli.api import Api
    from shared.client.cli.progress_bars import by_steps
    from shared.client.wait_for_results import LONGEST, wait_for_results

    names = list(dict.fromkeys(results))
    with Api() as api, by_steps("wait", quiet=output.json) as note:
        states = api.run(
            wait_for_results(
                api.client.http,
                names,
                any=any,
                timeout=timeout,
                longest=WATCHED if sys.stderr.isatty() else LONGEST,
                progress=lambda ended: note("", done=ended, total=len(names)),
            )
        )
    left = [name for name in names if states.get(name, "created") == "created"]
    done = len(left) < len(names) if any else not left
    if output.json:
        show.document({"done": done, "states": states, "open": left})
    else:
        show.table("Results", ("result", "status"), states.items())
    lost = [name for name in names if states.get(name) in ("aborted", "deleted")]
    if not done:
        raise FailedError(f"{len(left)} of {len(names)} results are still open")
    if lost and not (any and len(lost) + len(left) < len(names)):
        raise FailedError(f"{len(lost)} of {len(names)} results will have no value")


def _source(file: Path) -> Source:
    """UsageError if it cannot be read."""
    if str(file) == "-":
        return Source("stdin", None, 0)
    try:
        with file.open("rb"):
            return Source(file.name[-255:], file, file.stat().st_size)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None


def _download(api: Any, result: str, to: Path, *, quiet: bool) -> int:
    """Into a file, with a bar; returns the bytes."""
    from shared.client.cli.progress_bars import by_bytes
    from shared.client.values import download_value

    with by_bytes("download", None, quiet=quiet) as advance:
        count: int = api.run(download_value(api.client.http, result, to, advance))
    return count


def _table(title: str, documents: list[dict[str, Any]]) -> None:
    from shared.client.cli import show

    heads = ("id", "status", "size", "name", "checksum")
    show.table(title, heads, ([one.get(head, "") for head in heads] for one in documents))
