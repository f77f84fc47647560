"""What a measured file is: the JSON that passes from `measure` to `catalogue`.

Coordinates are 0-based with the centre of the first pixel at (0, 0): x along a row (NAXIS1), y across (NAXIS2). Values and
fluxes are in the image's own unit. No number is NaN or infinite: what has no value is null.
"""

import msgspec


class Statistics(msgspec.Struct, frozen=True):
    """The statistics of an image's finite pixels, in float64; `finite` is their number. `std` is the population's (divided by n)."""

    finite: int
    min: float | None
    max: float | None
    mean: float | None
    median: float | None
    std: float | None


class Source(msgspec.Struct, frozen=True):
    """A group of bright pixels: its flux-weighted centroid, and its flux, the sum of pixel - median."""

    x: float
    y: float
    flux: float


class Sources(msgspec.Struct, frozen=True):
    """How many there are in an image, and the one of the largest flux."""

    count: int
    brightest: Source | None = None


class HDU(msgspec.Struct, frozen=True):
    """One unit of a file.

    kind         astropy's class: PrimaryHDU, ImageHDU, CompImageHDU, BinTableHDU, TableHDU, GroupsHDU, …
    shape        of an image as NumPy has it (NAXIS2, NAXIS1); of a table (rows, columns); empty if there are no data
    statistics   of an image that has data
    sources      of an image of two dimensions (`sources.plane`)
    error        why its data could not be read
    """

    number: int
    name: str
    kind: str
    shape: list[int] = []
    statistics: Statistics | None = None
    sources: Sources | None = None
    error: str = ""


class Thumbnail(msgspec.Struct, frozen=True):
    """A small picture of the image in HDU `hdu`: a pixel is the mean of step × step of its pixels.

    pixels: height × width bytes, rows upwards as FITS has them; 0 where no pixel is finite, 1 (dark) to 255 (bright).
    """

    hdu: int
    width: int
    height: int
    step: int
    pixels: bytes


class Record(msgspec.Struct, frozen=True):
    """One file. `error`: why it could not be read, or not to its end; `hdus` are those before that."""

    name: str
    bytes: int
    hdus: list[HDU]
    thumbnail: Thumbnail | None = None
    error: str = ""
