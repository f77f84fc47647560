"""A small picture of an image."""

import numpy as np
import numpy.typing as npt

from deploy.demo.astronomy.records import Thumbnail
from deploy.demo.astronomy.statistics import Pixels

LARGEST = 128
"""Pixels along the longer side."""
CUT = (0.5, 99.5)
"""Percentiles that become black and white: a single hot pixel must not darken all the others."""
SOFTENING = 0.1
"""The asinh stretch is linear below this part of the range, and logarithmic above."""


def thumbnail(hdu: int, pixels: Pixels) -> Thumbnail:
    """The thumbnail of an image of shape (height, width), neither of which is 0."""
    step = -(-max(pixels.shape) // LARGEST)
    small = _shrunk(pixels, step)
    height, width = small.shape
    return Thumbnail(hdu, width, height, step, _stretched(small).tobytes())


def _shrunk(pixels: Pixels, step: int) -> Pixels:
    """Means of the finite pixels of blocks of step × step, smaller at the far edges; NaN where there is none."""
    finite = np.isfinite(pixels)
    with np.errstate(all="ignore"):
        mean: Pixels = _blocks(np.where(finite, pixels, 0.0), step) / _blocks(finite.astype(float), step)
    return mean


def _blocks(values: Pixels, step: int) -> Pixels:
    for axis in (0, 1):
        values = np.add.reduceat(values, np.arange(0, values.shape[axis], step), axis=axis)
    return values


def _stretched(pixels: Pixels) -> npt.NDArray[np.uint8]:
    finite = np.isfinite(pixels)
    grey = np.zeros(pixels.shape, dtype=np.uint8)
    if not finite.any():
        return grey
    low, high = np.percentile(pixels[finite], CUT)
    with np.errstate(all="ignore"):
        part = np.clip((pixels[finite] - low) / (high - low), 0, 1)
    part = np.where(np.isfinite(part), part, SOFTENING)  # all alike, or too far apart for float64: dark grey
    grey[finite] = np.rint(1 + 254 * np.arcsinh(part / SOFTENING) / np.arcsinh(1 / SOFTENING))
    return grey
