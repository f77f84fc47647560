"""Measuring one file: what is in it, what is wrong with it."""

import gzip
import io
import warnings
from typing import Any

import msgspec
import numpy as np
import pytest
from astropy.io import fits

from deploy.demo.astronomy.measure import measure
from deploy.demo.astronomy.reading import Unreadable, opened
from deploy.demo.astronomy.records import HDU, Record, Source, Sources, Statistics


def written(*hdus: Any) -> bytes:
    buffer = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(buffer)
    return buffer.getvalue()


def one(hdu: Any) -> HDU:
    """What is measured of a file of one HDU; through the JSON in which it travels, which has nothing but finite numbers."""
    sent = msgspec.json.encode(measure("sky/one.fits", written(hdu)))
    record = msgspec.json.decode(sent, type=Record)
    assert (record.name, record.error, len(record.hdus)) == ("sky/one.fits", "", 1)
    return record.hdus[0]


def stars() -> Any:
    """An image of 40 × 60 (height × width) with two sources of known place and flux."""
    pixels = np.full((40, 60), 10.0, dtype=np.float32)
    pixels[20:23, 30:33] = 510.0
    pixels[5, 5:10] = 610.0
    return pixels


def test_an_image_is_described() -> None:
    hdu = one(fits.PrimaryHDU(stars()))
    assert (hdu.number, hdu.name, hdu.kind, hdu.shape) == (0, "PRIMARY", "PrimaryHDU", [40, 60])
    assert hdu.sources == Sources(2, Source(31.0, 21.0, 4500.0))
    assert hdu.statistics is not None
    assert (hdu.statistics.finite, hdu.statistics.min, hdu.statistics.max, hdu.statistics.median) == (2400, 10, 610, 10)
    assert hdu.statistics.mean == pytest.approx(10 + (4500 + 3000) / 2400)
    assert hdu.statistics.std == pytest.approx(float(np.std(stars().astype(float))))


def test_pixels_without_a_value_are_left_out() -> None:
    pixels = np.array([[1.0, 2.0, np.nan], [4.0, np.inf, -np.inf]])
    values = one(fits.PrimaryHDU(pixels)).statistics
    assert values is not None
    assert (values.finite, values.min, values.max, values.median) == (3, 1, 4, 2)
    nothing = Statistics(0, None, None, None, None, None)
    assert one(fits.PrimaryHDU(np.full((3, 3), np.nan))).statistics == nothing
    assert one(fits.PrimaryHDU(np.full((3, 3), 7, dtype=np.int16))).statistics == Statistics(9, 7, 7, 7, 7, 0)


def test_what_overflows_has_no_value() -> None:
    values = one(fits.PrimaryHDU(np.array([[1.7e308, 1.7e308, -1.7e308]]))).statistics
    assert values is not None
    assert (values.min, values.max, values.std) == (-1.7e308, 1.7e308, None)


def test_scaled_integers_and_blanks_are_read_as_values() -> None:
    hdu = fits.PrimaryHDU(np.array([[0, 10, 20], [30, 40, -99]], dtype=np.int16))
    hdu.header["BSCALE"], hdu.header["BZERO"], hdu.header["BLANK"] = 0.5, 100.0, -99
    values = one(hdu).statistics
    assert values is not None
    assert (values.finite, values.min, values.max, values.median) == (5, 100, 120, 110)
    unsigned = one(fits.PrimaryHDU(np.array([[0, 65535]], dtype=np.uint16))).statistics
    assert unsigned is not None
    assert (unsigned.min, unsigned.max) == (0, 65535)


def test_every_kind_of_hdu_is_described() -> None:
    table = fits.BinTableHDU.from_columns(
        [fits.Column("a", "J", array=np.arange(7)), fits.Column("b", "2E", array=np.zeros((7, 2)))], name="EVENTS"
    )
    text = fits.TableHDU.from_columns([fits.Column("t", "A3", array=np.array(["x", "y"]))])
    cube = fits.ImageHDU(np.arange(24.0).reshape(2, 3, 4), name="CUBE")
    record = measure("all.fits", written(fits.PrimaryHDU(), table, text, cube, fits.CompImageHDU(stars(), name="SKY")))
    assert [(hdu.number, hdu.name, hdu.kind, hdu.shape) for hdu in record.hdus] == [
        (0, "PRIMARY", "PrimaryHDU", []),
        (1, "EVENTS", "BinTableHDU", [7, 2]),
        (2, "", "TableHDU", [2, 1]),
        (3, "CUBE", "ImageHDU", [2, 3, 4]),
        (4, "SKY", "CompImageHDU", [40, 60]),
    ]
    assert [hdu.statistics is None for hdu in record.hdus] == [True, True, True, False, False]
    assert [hdu.sources is None for hdu in record.hdus] == [True, True, True, True, False]
    assert record.thumbnail is not None
    assert record.thumbnail.hdu == 4


def test_a_compressed_file_is_unpacked() -> None:
    record = measure("sky.v1.fits.gz", gzip.compress(written(fits.PrimaryHDU(stars()))))
    assert (record.error, record.hdus[0].shape) == ("", [40, 60])


@pytest.mark.parametrize("data", [b"", b"no stars here", b"\x00" * 5760, b"\x1f\x8b broken"])
def test_an_unreadable_file_gives_a_record_that_says_why(data: bytes) -> None:
    record = measure("some/where/odd.fits.gz", data)
    assert (record.name, record.bytes, record.hdus, record.thumbnail) == ("some/where/odd.fits.gz", len(data), [], None)
    assert record.error.partition(":")[0].isidentifier()
    assert "\n" not in record.error
    assert measure("some/where/odd.fits.gz", data) == record  # no temporary name in it


def test_an_error_speaks_of_the_file_and_not_of_where_it_lay_for_a_while() -> None:
    with pytest.raises(Unreadable) as caught, opened("far/sky.fits", written(fits.PrimaryHDU())) as hdus:
        raise OSError(f"cannot read {hdus.filename()}:\n  disk")
    assert str(caught.value) == "OSError: cannot read far/sky.fits: disk"


@pytest.mark.parametrize("name", ["", "no-suffix", "..", "a\x00b.fits", "x." + "y" * 400, "/abs/olute.fits"])
def test_whatever_its_name_a_file_has_a_record(name: str) -> None:
    record = measure(name, written(fits.PrimaryHDU(stars())))
    assert record.name == name
    assert bool(record.error) != bool(record.hdus)


def test_a_broken_hdu_is_recorded_and_the_others_are_measured() -> None:
    whole = written(fits.PrimaryHDU(stars()), fits.ImageHDU(np.zeros((100, 100)), name="CUT"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        record = measure("cut.fits", whole[:-30000])
    assert (record.error, record.hdus[0].sources and record.hdus[0].sources.count) == ("", 2)
    assert (record.hdus[1].number, record.hdus[1].name, record.hdus[1].kind) == (1, "CUT", "ImageHDU")
    assert record.hdus[1].error
    assert record.hdus[1].statistics is None


def test_a_line_per_hdu_and_every_warning_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    whole = written(fits.PrimaryHDU(stars()), fits.ImageHDU(np.zeros((100, 100)), name="CUT"))
    measure("cut.fits", whole[:-30000])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "cut.fits[0] PrimaryHDU PRIMARY 40×60, median 10, sigma 40.9602, sources 2"
    assert lines[1].startswith("cut.fits[1] ImageHDU CUT: TypeError: ")
    assert lines[2].startswith("cut.fits: warning: File may have been truncated")
    assert len(lines) == 3


def test_equal_bytes_give_equal_records() -> None:
    data = written(fits.PrimaryHDU(stars()), fits.CompImageHDU(stars()))
    assert msgspec.json.encode(measure("a.fits", data)) == msgspec.json.encode(measure("a.fits", data))
