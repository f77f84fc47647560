"""The catalogue: one table of all HDUs, as ECSV."""

import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from astropy.table import MaskedColumn, Table

from deploy.demo.astronomy.records import HDU, Record
from deploy.demo.astronomy.sources import LEAST, SIGMAS


class Column(NamedTuple):
    """One column of the catalogue; `description` and `unit` are in its header."""

    name: str
    type: type
    unit: str | None
    description: str


COLUMNS = (
    Column("file", str, None, "path in the dataset"),
    Column("hdu", int, None, "number in the file, from 0"),
    Column("name", str, None, "EXTNAME"),
    Column("kind", str, None, "astropy's class"),
    Column("shape", str, None, "of an image: slowest axis first, in pixels; of a table: rows and columns"),
    Column(
        "finite", int, None, "pixels that are neither NaN nor infinite; the statistics are theirs, in the image's unit"
    ),
    Column("min", float, None, "least pixel"),
    Column("max", float, None, "greatest pixel"),
    Column("mean", float, None, "mean of the pixels"),
    Column("median", float, None, "median of the pixels"),
    Column("std", float, None, "standard deviation of the pixels, divided by n"),
    Column("sources", int, None, f"4-connected groups of {LEAST} or more pixels above median + {SIGMAS} std"),
    Column("x", float, "pix", "flux-weighted centroid of the brightest source along NAXIS1, from 0"),
    Column("y", float, "pix", "flux-weighted centroid of the brightest source along NAXIS2, from 0"),
    Column("flux", float, None, "sum of pixel - median over the brightest source, in the image's unit"),
    Column("error", str, None, "why the data of this HDU cannot be read"),
)


def catalogue(records: Iterable[Record]) -> bytes:
    """ECSV, a row per HDU in the order of paths and numbers; masked where there is no value.

    Its meta: `files` and `bytes` in total, and `unreadable`, a list of {"file", "error"}.
    """
    files = sorted(records, key=lambda record: record.name)
    rows = [row for file in files for row in _rows(file)]
    table = Table([_column(column, [row[n] for row in rows]) for n, column in enumerate(COLUMNS)])
    table.meta["files"] = len(files)
    table.meta["bytes"] = sum(file.bytes for file in files)
    table.meta["unreadable"] = [{"file": file.name, "error": file.error} for file in files if file.error]
    text = io.StringIO()
    table.write(text, format="ascii.ecsv")
    return text.getvalue().encode()


def _column(column: Column, values: Sequence[Any]) -> MaskedColumn:
    missing = [value is None for value in values]
    filled = [column.type() if value is None else value for value in values]
    return MaskedColumn(
        filled, column.name, mask=missing, dtype=column.type, unit=column.unit, description=column.description
    )


def _rows(file: Record) -> Iterator[tuple[Any, ...]]:
    for hdu in sorted(file.hdus, key=lambda hdu: hdu.number):
        shape = "x".join(str(length) for length in hdu.shape)
        yield file.name, hdu.number, hdu.name or None, hdu.kind, shape or None, *_values(hdu), hdu.error or None


def _values(hdu: HDU) -> tuple[float | None, ...]:
    """From `finite` to `flux`."""
    of, found = hdu.statistics, hdu.sources
    best = found.brightest if found else None
    return (
        *((of.finite, of.min, of.max, of.mean, of.median, of.std) if of else (None,) * 6),
        found.count if found else None,
        *((best.x, best.y, best.flux) if best else (None,) * 3),
    )
