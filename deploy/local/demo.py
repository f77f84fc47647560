"""The main job of `make run`: a catalogue and a contact sheet of the FITS files that the astropy wheel ships.

One task a file, and one that joins them. It goes through the HTTP edge only, as any user's program would: the files are
uploaded as results, a submission names them as inputs, the event stream tells what is done, the products are downloaded.
"""

import asyncio
import io
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


def name(file: Path) -> str:
    """Its path in the dataset: as it is in the wheel."""
    parts = file.parts
    return "/".join(parts[len(parts) - parts[::-1].index("astropy") :])


async def main(home: Path, console: Console) -> int:
    """Runs the job against the system whose home this is. 0 if every file was looked at and the products are written."""
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
        products = await _job(http, files, console)
    seconds = time.perf_counter() - began
    out = home / "out"
    out.mkdir(exist_ok=True)
    for product, data in zip(("catalogue.ecsv", "contact-sheet.png"), products, strict=True):
        (out / product).write_bytes(data)
    seen = _show(products[0], console)
    console.print(f"{len(files) + 1} tasks, {seconds:.1f} s; {out / 'catalogue.ecsv'}, {out / 'contact-sheet.png'}")
    return 0 if seen == len(files) else 1


async def _job(http: httpx.AsyncClient, files: Sequence[Path], console: Console) -> list[bytes]:
    session = (await _post(http, "/compute/v1/sessions", {"name": "FITS catalogue"}))["id"]
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
    join = next(task for task in tasks if task["submission"] == submission and task["function"] == "catalogue")
    if join["status"] != "completed":
        raise SystemExit(f"the join ended as {join['status']}: {join['error']}")
    products = []
    for output in join["outputs"]:
        answer = await http.get(f"/compute/v1/results/{output}/data")
        products.append(answer.raise_for_status().content)
    await _post(http, f"{where}/close", None)
    return products


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
        {"payload": {"name": name(file)}, "inputs": [result], "options": {"function": "measure"}}
        for file, result in zip(files, inputs, strict=True)
    ]
    join = {"inputs": [f"@{n}" for n in range(len(files))], "outputs": 2, "options": {"function": "catalogue"}}
    lines = "\n".join(json.dumps(task) for task in [*tasks, join])
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


def _show(catalogue: bytes, console: Console) -> int:
    """A part of the catalogue; how many files it speaks of."""
    from astropy.table import Table as Catalogue

    table = Catalogue.read(io.BytesIO(catalogue), format="ascii.ecsv")
    columns = ("shape", "median", "sources", "flux")
    view = Table("image", *columns, title="The ten images of the most sources")
    view.columns[0].no_wrap = True
    images = [row for row in table if row["sources"]]  # masked, and so false, where none were sought
    for row in sorted(images, key=lambda row: -row["sources"])[:10]:
        values = (f"{row[column]:.5g}" for column in columns[1:])
        view.add_row(f"{row['file'].rpartition('/')[2]}\\[{row['hdu']}]", row["shape"], *values)
    console.print(view)
    unreadable = table.meta["unreadable"]
    for file in unreadable:
        console.print(f"[yellow]unreadable[/] {file['file']}: {file['error'][:60]}")
    console.print(
        f"{table.meta['files']} files, {table.meta['bytes']:,} bytes, {len(table)} HDUs, {len(unreadable)} unreadable"
    )
    return int(table.meta["files"])


async def _get(http: httpx.AsyncClient, path: str) -> Any:
    answer = await http.get(path)
    answer.raise_for_status()
    return answer.json()


async def _post(http: httpx.AsyncClient, path: str, body: Any) -> Any:
    answer = await http.post(path, json=body) if body is not None else await http.post(path)
    answer.raise_for_status()
    return answer.json()
