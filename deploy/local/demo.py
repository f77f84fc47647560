"""The main job of `make run`: the statistics of every FITS image that the astropy wheel ships.

One task a file, and one that joins them. It goes through the HTTP edge only, as any user's program would: the files are
uploaded as results, a submission names them as inputs, the event stream tells what is done, the table is downloaded.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

UPLOADS = 8
"""Files uploaded at once."""


def fits_files() -> list[Path]:
    """The FITS files in the installed astropy, without importing it; an empty list if it is not installed."""
    found = find_spec("astropy")
    if found is None or found.origin is None:
        return []
    root = Path(found.origin).parent
    return sorted(path for path in root.rglob("*.fits*") if path.is_file() and path.suffix != ".py")


async def main(home: Path, console: Console) -> int:
    """Runs the job against the system whose home this is. 0 if every file was looked at and the table is written."""
    files = fits_files()
    if not files:
        console.print("[yellow]astropy is not installed: no main job (pip install 'headrace\\[demo]')[/]")
        return 0
    address = json.loads((home / "address.json").read_text())
    token = (home / "token").read_text().strip()
    began = time.perf_counter()
    async with httpx.AsyncClient(
        base_url=address["http"], headers={"Authorization": f"Bearer {token}"}, timeout=60, trust_env=False
    ) as http:
        table = await _job(http, files, console)
    seconds = time.perf_counter() - began
    out = home / "out" / "statistics.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(table, indent=1) + "\n")
    _show(table, console)
    console.print(
        f"{table['files']} files, {table['bytes']:,} bytes, {len(table['images'])} images, {len(files) + 1} tasks, "
        f"{len(table['errors'])} unreadable, {seconds:.1f} s; the whole table: {out}"
    )
    return 0 if table["files"] == len(files) else 1


async def _job(http: httpx.AsyncClient, files: Sequence[Path], console: Console) -> dict[str, Any]:
    session = (await _post(http, "/compute/v1/sessions", {"name": "FITS statistics"}))["id"]
    where = f"/compute/v1/sessions/{session}"
    columns = (TextColumn("{task.description:<8}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        inputs = await _upload(http, where, files, progress)
        async with http.stream("GET", "/events", params={"session": session}, timeout=None) as stream:
            lines = stream.aiter_lines()
            await anext(lines)  # connected: nothing is missed from here on
            submission = await _submit(http, where, files, inputs)
            await _watch(lines, progress, len(files) + 1)
    tasks = (await _get(http, f"{where}/tasks?size=1000"))["items"]
    join = next(task for task in tasks if task["submission"] == submission and task["function"] == "join_statistics")
    if join["status"] != "completed":
        raise SystemExit(f"the join ended as {join['status']}: {join['error']}")
    answer = await http.get(f"/compute/v1/results/{join['outputs'][0]}/data")
    answer.raise_for_status()
    await _post(http, f"{where}/close", None)
    table: dict[str, Any] = answer.json()
    return table


async def _upload(http: httpx.AsyncClient, where: str, files: Sequence[Path], progress: Progress) -> list[str]:
    """Makes a result of each file; their ids."""
    made = await _post(http, f"{where}/results", {"results": [{"name": file.name} for file in files]})
    ids = [result["id"] for result in made["results"]]
    bar = progress.add_task("upload", total=len(files))
    gate = asyncio.Semaphore(UPLOADS)

    async def one(result: str, file: Path) -> None:
        async with gate:
            data = await asyncio.to_thread(file.read_bytes)
            (await http.put(f"/compute/v1/results/{result}/data", content=data)).raise_for_status()
            progress.advance(bar)

    async with asyncio.TaskGroup() as group:
        for result, file in zip(ids, files, strict=True):
            group.create_task(one(result, file))
    return ids


async def _submit(http: httpx.AsyncClient, where: str, files: Sequence[Path], inputs: Sequence[str]) -> str:
    """One task a file, and one that waits for all of them."""
    tasks = [
        {"payload": {"name": file.name}, "inputs": [result], "options": {"function": "image_statistics"}}
        for file, result in zip(files, inputs, strict=True)
    ]
    tasks.append({"inputs": [f"@{n}" for n in range(len(files))], "options": {"function": "join_statistics"}})
    lines = "\n".join(json.dumps(task) for task in tasks)
    answer = await http.post(f"{where}/submissions", content=lines, headers={"Content-Type": "application/x-ndjson"})
    answer.raise_for_status()
    return str(answer.json()["id"])


async def _watch(lines: AsyncIterator[str], progress: Progress, total: int) -> None:
    """Until every task has ended, by what the event stream tells."""
    bar = progress.add_task("tasks", total=total)
    ended: set[str] = set()
    async for line in lines:
        if line.startswith("data:"):
            told = json.loads(line[5:])
            ended.update(told.get("completed", ()), told.get("failed", ()))
            progress.update(bar, completed=len(ended))
        if len(ended) >= total:
            return


def _show(table: dict[str, Any], console: Console) -> None:
    view = Table("image", "pixels", "min", "max", "median", "std", title="The ten largest images")
    for image in sorted(table["images"], key=lambda image: -_pixels(image))[:10]:
        numbers = (f"{image[name]:.5g}" if name in image else "–" for name in ("min", "max", "median", "std"))
        shape = "×".join(str(length) for length in image["shape"])
        view.add_row(f"{image['name']}\\[{image['hdu']}]", shape, *numbers)
    console.print(view)
    for error in table["errors"]:
        console.print(f"[yellow]unreadable[/] {error['name']}: {error['error'].splitlines()[0][:60]}")


def _pixels(image: dict[str, Any]) -> int:
    size = 1
    for length in image["shape"]:
        size *= length
    return size


async def _get(http: httpx.AsyncClient, path: str) -> Any:
    answer = await http.get(path)
    answer.raise_for_status()
    return answer.json()


async def _post(http: httpx.AsyncClient, path: str, body: Any) -> Any:
    answer = await http.post(path, json=body) if body is not None else await http.post(path)
    answer.raise_for_status()
    return answer.json()
