"""The products: of records made up for it, and of every file in the wheel against a computation of another kind."""

import io
import random
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from astropy.table import Table
from PIL import Image

from deploy.demo.astronomy.catalogue import catalogue
from deploy.demo.astronomy.records import HDU, Record, Source, Sources, Statistics, Thumbnail
from deploy.demo.astronomy.sheet import COLUMNS, sheet
from deploy.demo.astronomy.tile import LONGEST, shortened
from deploy.demo.functions import app
from deploy.demo.job.files import fits_files
from shared.worker import Task
from shared.worker.functions import encode_outputs
from tests.support.reference import VALUES, reference_rows, unreadable, wheel

STATISTICS = Statistics(4, 1.0, 4.0, 0.1 + 0.2, 2.5, 1e-300)
SKY = HDU(0, "PRIMARY", "PrimaryHDU", [2, 2], STATISTICS, Sources(3, Source(0.5, 1.0, 1 / 3)))
PICTURE = Thumbnail(0, 2, 2, 1, bytes((0, 1, 128, 255)))
ODD = "$\\bad{$ no\n\"quoted\" 'and' more: ☆" * 9


def run(function: str, payload: Any, inputs: Sequence[bytes], outputs: int) -> list[bytes]:
    """A task, as a worker runs it."""
    task = Task(uuid4(), 0, msgspec.json.encode(payload), inputs, outputs, lambda fraction, message: None)
    call: Callable[[Task], Any] = app.functions[function].call
    return encode_outputs(call(task), outputs)


def read(data: bytes) -> Table:
    return Table.read(io.BytesIO(data), format="ascii.ecsv")


def values(table: Table) -> list[dict[str, Any]]:
    """Its rows as Python values, None for what is masked."""
    lists = {name: table[name].tolist() for name in table.colnames}
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]


@pytest.fixture(scope="module")
def records() -> list[bytes]:
    """Of every file in the wheel, as `measure` gives them."""
    root = wheel()
    return [
        run("measure", {"name": file.relative_to(root).as_posix()}, [file.read_bytes()], 1)[0] for file in fits_files()
    ]


@pytest.fixture(scope="module")
def products(records: list[bytes]) -> list[bytes]:
    return run("catalogue", None, records, 2)


def test_every_row_of_the_wheels_files_is_as_computed_otherwise(products: list[bytes]) -> None:
    rows, expected = values(read(products[0])), reference_rows(fits_files())
    assert [(row["file"], row["hdu"]) for row in rows] == [(row["file"], row["hdu"]) for row in expected]
    for row, other in zip(rows, expected, strict=True):
        numbers = {name: value for name in VALUES if (value := other[name]) is not None}
        assert {name: row[name] for name in numbers} == pytest.approx(numbers, rel=1e-9, abs=1e-12), row["file"]
        rest = {name: value for name, value in row.items() if name not in numbers}
        assert rest == {name: None if name == "error" else other[name] for name in rest}


def test_the_wheels_unreadable_files_are_listed(products: list[bytes]) -> None:
    files = fits_files()
    meta = read(products[0]).meta
    assert (meta["files"], meta["bytes"]) == (len(files), sum(file.stat().st_size for file in files))
    assert [file["file"] for file in meta["unreadable"]] == unreadable(files)
    assert all(file["error"] for file in meta["unreadable"])


def test_the_same_files_give_the_same_bytes_in_whatever_order(records: list[bytes], products: list[bytes]) -> None:
    shuffled = random.Random(7).sample(records, len(records))
    assert run("catalogue", None, shuffled, 2) == products


def test_the_sheet_is_a_picture_that_says_nothing_of_when_and_by_what(products: list[bytes]) -> None:
    with Image.open(io.BytesIO(products[1])) as image:
        assert (image.format, image.width > 1000, image.height > 800) == ("PNG", True, True)
        assert set(image.info) <= {"dpi"}


def test_a_catalogue_keeps_every_digit_and_says_what_its_columns_are() -> None:
    table = read(catalogue([Record("a.fits", 9, [SKY])]))
    row = values(table)[0]
    assert [row[name] for name in VALUES] == [4, 1.0, 4.0, 0.1 + 0.2, 2.5, 1e-300, 3, 0.5, 1.0, 1 / 3]
    assert (table["x"].unit, table["y"].unit, row["error"]) == ("pix", "pix", None)
    assert all(table[name].description for name in table.colnames)


def test_it_is_sorted_by_path_and_number_and_masked_where_nothing_is_known() -> None:
    table = HDU(1, "", "BinTableHDU", [2, 3])
    broken = HDU(2, "BAD", "ImageHDU", error="TypeError: buffer")
    files = [Record("b.fits", 1, [broken, SKY, table]), Record("a/z.fits", 2, [HDU(0, "PRIMARY", "PrimaryHDU")])]
    rows = values(read(catalogue(files)))
    assert [(row["file"], row["hdu"], row["shape"], row["name"], row["error"]) for row in rows] == [
        ("a/z.fits", 0, None, "PRIMARY", None),
        ("b.fits", 0, "2x2", "PRIMARY", None),
        ("b.fits", 1, "2x3", None, None),
        ("b.fits", 2, None, "BAD", "TypeError: buffer"),
    ]
    assert all(row[name] is None for row in (rows[0], rows[2], rows[3]) for name in VALUES)


@pytest.mark.parametrize("files", [[], [Record("a.fits", 0, [], None, "OSError: empty")]])
def test_a_catalogue_of_nothing_has_no_rows(files: list[Record]) -> None:
    table = read(catalogue(files))
    assert (len(table), table.meta["files"]) == (0, len(files))
    assert len(table.meta["unreadable"]) == len(files)
    assert sheet(files).startswith(b"\x89PNG")


def test_names_and_errors_may_be_any_text() -> None:
    odd = Record(ODD, 1, [SKY], PICTURE, f"OSError: {ODD}")
    empty = Record(ODD + "2", 1, [], None, f"OSError: {ODD}")
    table = read(catalogue([odd, empty]))
    assert [row["file"] for row in values(table)] == [ODD]
    assert table.meta["unreadable"][1] == {"file": ODD + "2", "error": f"OSError: {ODD}"}
    assert sheet([odd, empty]).startswith(b"\x89PNG")


def test_a_sheet_has_so_many_rows_as_it_needs_and_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.demo.astronomy.sheet.ROWS", 3)

    def height(pictures: int) -> int:
        files = [Record(f"{n:04}.fits", 1, [SKY], PICTURE) for n in range(pictures)]
        with Image.open(io.BytesIO(sheet([*files, Record("table.fits", 1, [HDU(0, "", "PrimaryHDU")])]))) as image:
            return int(image.height)

    assert height(1) == height(COLUMNS) < height(COLUMNS + 1)
    assert height(COLUMNS * 3) == height(COLUMNS * 3 + 1) > height(COLUMNS + 1)


def test_long_names_lose_their_middle() -> None:
    assert shortened("m13.fits") == "m13.fits"
    assert shortened("x" * LONGEST) == "x" * LONGEST
    assert shortened("dss.14.29.56-62.41.05.fits.gz") == "dss.14.29.56-6…41.05.fits.gz"
    assert len(shortened("y" * 500)) == LONGEST
