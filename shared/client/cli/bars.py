"""Progress of what takes long, on stderr. Quiet where nobody looks: no terminal, or `--json`."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.table import Column

Advance = Callable[[int], None]
"""So many more; fewer, where something has to be done again."""
Tell = Callable[..., None]
"""`tell(note, done=…, total=…)`: what it is at."""


@contextmanager
def by_bytes(title: str, total: int, *, quiet: bool) -> Iterator[Advance]:
    with _bars(DownloadColumn(), TransferSpeedColumn(), quiet=quiet) as bars:
        bar = bars.add_task(title, total=total)
        yield lambda count: bars.advance(bar, count)


@contextmanager
def by_steps(title: str, *, quiet: bool) -> Iterator[Tell]:
    """The total is unknown until it is told."""
    note = TextColumn(
        "{task.fields[note]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)
    )
    with _bars(MofNCompleteColumn(), TimeElapsedColumn(), note, quiet=quiet, expand=True) as bars:
        bar = bars.add_task(title, total=None, note="")

        def tell(note: str, *, done: int | None = None, total: int | None = None) -> None:
            bars.update(bar, note=note, completed=done, total=total)

        yield tell


def _bars(*columns: ProgressColumn, quiet: bool, expand: bool = False) -> Progress:
    return Progress(
        TextColumn("{task.description:<9}", markup=False),
        BarColumn(bar_width=20),
        *columns,
        console=Console(stderr=True),
        expand=expand,  # the note takes what room is left
        disable=quiet or not sys.stderr.isatty(),
    )
