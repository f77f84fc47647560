"""Bars for what takes long, on stderr. None without a terminal, or with `--json`."""

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

Advance = Callable[..., None]
"""Advances the bar by a count of bytes; a negative count when they have to be moved again."""
Note = Callable[..., None]
"""`note(text, done=…, total=…)`: what is being done, and how many of how many steps are."""


@contextmanager
def by_bytes(title: str, total: int | None, *, quiet: bool) -> Iterator[Advance]:
    """A bar of `total` bytes; None: the first call of what it yields says how many, as its second argument."""
    with _bars(DownloadColumn(), TransferSpeedColumn(), quiet=quiet) as bars:
        bar = bars.add_task(title, total=total)

        def advance(count: int, total: int | None = None) -> None:
            if total is not None:
                bars.update(bar, total=total)
            bars.advance(bar, count)

        yield advance


@contextmanager
def by_steps(title: str, *, quiet: bool) -> Iterator[Note]:
    """A bar of steps; their total may become known later."""
    column = TextColumn(
        "{task.fields[note]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)
    )
    with _bars(MofNCompleteColumn(), TimeElapsedColumn(), column, quiet=quiet, expand=True) as bars:
        bar = bars.add_task(title, total=None, note="")

        def update(text: str, *, done: int | None = None, total: int | None = None) -> None:
            bars.update(bar, note=text, completed=done, total=total)

        yield update


def _bars(*columns: ProgressColumn, quiet: bool, expand: bool = False) -> Progress:
    return Progress(
        TextColumn("{task.description:<9}", markup=False),
        BarColumn(bar_width=20),
        *columns,
        console=Console(stderr=True),
        expand=expand,  # the note takes what room is left
        disable=quiet or not sys.stderr.isatty(),
    )
