"""The main job, from the files to the products, with bars and a closing summary."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column

from deploy.demo.job import place
from deploy.demo.job.archive import OPEN, Archive
from deploy.demo.job.compute import Compute, Products
from deploy.demo.job.files import described, fits_files, pid
from deploy.demo.job.summary import show_offers, summary
from deploy.local.home import write_file
from shared.client import Address, Headrace, Patience
from shared.client.datasets import archive_status
from shared.client.errors import ClientError
from shared.runtime.retry import Backoff, retry

OUTAGE: Final = 300.0
"""Seconds for which services may be away."""
_WRITE, _WRITES = Backoff(first=0.5, ceiling=2), 150
"""A disk that is full is waited for, about as long as services that are away."""


async def main(home: Path, console: Console) -> int:
    """Runs the job against the system whose home this is. 0 if both products are written."""
    paths = fits_files()
    if not paths:
        console.print("[yellow]astropy is not installed: no main job (pip install 'headrace\\[demo]')[/]")
        return 0
    address = json.loads((home / "address.json").read_text())
    token = (home / "token").read_text().strip()
    patience = Patience(OUTAGE, at_start=True, report=lambda text: console.print(f"[yellow]{escape(text)}[/]"))
    async with Headrace(Address(address["http"], token), patience=patience) as client:
        try:
            await Job(client, console, home, address).run(paths)
        except ClientError as error:
            console.print(f"[red]the main job failed:[/] {escape(str(error))}", soft_wrap=True)
            return 1
    return 0


class Job:
    """The main job from the files to the products; `run` shows a bar for each stage."""

    def __init__(self, client: Headrace, console: Console, home: Path, address: dict[str, Any]) -> None:
        self._client, self._console, self._home, self._address = client, console, home, address
        self._seconds: dict[str, float] = {}
        self._bars = Progress(
            TextColumn("{task.description:<9}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[note]}[/]", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
            console=console,
            expand=True,
        )

    async def run(self, paths: list[Path]) -> None:
        """Runs all stages and prints the summary; an error of the client is raised."""
        files = described(paths)
        archive = Archive(self._client, pid(files), files)
        with self._bars:
            dataset = await self._store(archive, len(files))
            accepted = await self._place(archive.pid)
            compute = Compute(self._client, UUID(accepted["session"]), archive.pid, files)
            products = await self._compute(compute, len(files))
        out = self._home / "out"
        await retry(lambda: asyncio.to_thread(_write, out, products), on=(OSError,), backoff=_WRITE, attempts=_WRITES)
        self._console.print(summary(dataset, accepted, products.catalogue, self._seconds, out, self._address))

    async def _store(self, archive: Archive, count: int) -> dict[str, Any]:
        with self._stage("upload", count) as bar:
            dataset = await archive.register()
            there = archive_status(dataset) not in OPEN
            if there:
                self._note(bar, f"{archive.pid} is there already: {archive_status(dataset)}")
                self._bars.update(bar, completed=count)
            else:
                await archive.upload(lambda: self._bars.advance(bar))
        if not there:
            with self._stage("pack", 1) as bar:
                packed = await archive.pack(lambda text: self._note(bar, text))
                self._note(
                    bar, f"{packed['numberOfDatablocks']} datablocks, {packed['packedSize']:,} bytes, in staging"
                )
                self._bars.update(bar, completed=1)
        with self._stage("archive", 1) as bar:
            dataset = await archive.archive(lambda text: self._note(bar, text))
            self._note(bar, f"{dataset['numberOfDatablocks']} datablocks, {dataset['packedSize']:,} bytes, validated")
            self._bars.update(bar, completed=1)
        return dataset

    async def _place(self, name: str) -> dict[str, Any]:
        with self._stage("offers", 1) as bar:
            if left := await place.leave_open_sessions(self._client):
                self._note(bar, f"{left} sessions of an earlier run closed")
            made = await place.offers(self._client, name)
            accepted = await place.accept(self._client, made["offers"][0])
            self._note(bar, f"{accepted['site']} it is")
            self._bars.update(bar, completed=1)
        self._bars.console.print(show_offers(made))
        return accepted

    async def _compute(self, compute: Compute, count: int) -> Products:
        with self._stage("tasks", count + 1) as tasks:
            await compute.submit()
            self._note(tasks, "each waits for its file")
            # Side by side: the first tasks run while later files are still on their way.
            await asyncio.gather(
                self._retrieve(compute, count),
                compute.until_done(lambda done: self._bars.update(tasks, completed=done)),
            )
            self._note(tasks, "")
        with self._stage("download", 2) as bar:
            products = await compute.products()
            self._bars.update(bar, completed=2)
        await compute.close()
        return products

    async def _retrieve(self, compute: Compute, count: int) -> None:
        with self._stage("retrieve", count) as bar:
            retrieval = await compute.retrieve()
            await compute.until_retrieved(retrieval, lambda done: self._bars.update(bar, completed=done))

    @contextmanager
    def _stage(self, name: str, total: int) -> Iterator[Any]:
        began = time.perf_counter()
        yield self._bars.add_task(name, total=total, note="")
        self._seconds[name] = time.perf_counter() - began

    def _note(self, bar: Any, text: str) -> None:
        self._bars.update(bar, note=escape(text))


def _write(out: Path, products: Products) -> None:
    """Each product whole or not at all."""
    out.mkdir(exist_ok=True)
    write_file(out / "catalogue.ecsv", products.catalogue)
    write_file(out / "contact-sheet.png", products.sheet)
