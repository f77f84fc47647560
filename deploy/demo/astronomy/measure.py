"""What is in one FITS file."""

from typing import Any

import numpy as np
from astropy.io import fits

from deploy.demo.astronomy.reading import Unreadable, described, opened
from deploy.demo.astronomy.records import HDU, Record, Thumbnail
from deploy.demo.astronomy.sources import plane, sources
from deploy.demo.astronomy.statistics import statistics
from deploy.demo.astronomy.thumbnail import thumbnail


def measure(name: str, data: bytes) -> Record:
    """The record of the file `name` (its path in the dataset) of these bytes; prints a line per HDU.

    Never fails for what is in the file: what cannot be read is an error in the record, of the file or of one HDU.
    """
    found: list[HDU] = []
    picture: Thumbnail | None = None
    error = ""
    try:
        with opened(name, data) as hdus:
            for number, hdu in enumerate(hdus):
                one, small = _measured(number, hdu, picture is None)
                print(f"{name}[{number}] {_line(one)}")
                found.append(one)
                picture = picture or small
    except Unreadable as unreadable:
        error = str(unreadable)
        print(f"{name}: {error}")
    return Record(name, len(data), found, picture, error)


def _measured(number: int, hdu: Any, picture: bool) -> tuple[HDU, Thumbnail | None]:
    """One HDU, and its thumbnail if one is asked for and it is an image of two dimensions."""
    name, kind = str(hdu.name), type(hdu).__name__
    try:
        data = hdu.data
        if isinstance(data, fits.FITS_rec):
            return HDU(number, name, kind, [len(data), len(data.columns)]), None
        if not hdu.is_image or data is None:
            return HDU(number, name, kind), None
        pixels = np.asarray(data, dtype=np.float64)
        values, flat = statistics(pixels), plane(pixels)
        found = sources(flat, values) if flat is not None else None
        small = thumbnail(number, flat) if picture and flat is not None and flat.size else None
        return HDU(number, name, kind, list(pixels.shape), values, found), small
    except Exception as error:  # astropy raises anything at all for damaged data
        return HDU(number, name, kind, error=described(error)), None


def _line(hdu: HDU) -> str:
    text = " ".join(part for part in (hdu.kind, hdu.name, "×".join(str(length) for length in hdu.shape)) if part)
    if hdu.error:
        return f"{text}: {hdu.error}"
    if hdu.statistics and hdu.statistics.median is not None and hdu.statistics.std is not None:
        text += f", median {hdu.statistics.median:.6g}, sigma {hdu.statistics.std:.6g}"
    return f"{text}, sources {hdu.sources.count}" if hdu.sources else text
