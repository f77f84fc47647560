"""Sources: groups of pixels that stand out of their image.

A source is at least 5 pixels, each connected to another by one of its four sides, all above median + 5 sigma of the image's
finite pixels. The centroid is weighted by pixel - median, which is positive in all of them.
"""

import numpy as np
import numpy.typing as npt

from deploy.demo.astronomy.labels import labelled
from deploy.demo.astronomy.records import Source, Sources, Statistics
from deploy.demo.astronomy.statistics import Pixels

SIGMAS = 5
LEAST = 5
"""Pixels of the smallest source: a hot pixel or a cosmic ray is not one."""


def plane(pixels: Pixels) -> Pixels | None:
    """The image of two dimensions that this is, or None.

    Leading axes of length 1 (the frequency and polarisation of many a radio map) do not count. In a cube and in a spectrum
    no sources are sought: connected groups of pixels would mean something else there.
    """
    if pixels.ndim < 2 or any(length != 1 for length in pixels.shape[:-2]):
        return None
    return pixels.reshape(pixels.shape[-2:])


def sources(pixels: Pixels, of: Statistics) -> Sources:
    """The sources of an image of shape (height, width) whose statistics are known; the earlier of two equally bright."""
    if of.median is None or of.std is None:
        return Sources(0)
    bright = np.isfinite(pixels) & (pixels > of.median + SIGMAS * of.std)
    labels, count = labelled(bright)
    y, x = np.nonzero(bright)
    label = labels[bright]
    with np.errstate(all="ignore"):
        above = pixels[bright] - of.median
        flux = np.bincount(label, above, count + 1)
    large = np.flatnonzero(np.bincount(label, minlength=count + 1) >= LEAST)
    if not large.size:
        return Sources(0)
    best = large[np.argmax(flux[large])]
    return Sources(len(large), _source(x, y, above, label == best, float(flux[best])))


def _source(
    x: npt.NDArray[np.intp], y: npt.NDArray[np.intp], above: Pixels, its: npt.NDArray[np.bool], flux: float
) -> Source | None:
    """The source of these of the bright pixels; None if its flux is too large for float64."""
    if not np.isfinite(flux):
        return None
    weight = above[its] / above[its].max()  # a weight times a coordinate must not overflow
    return Source(float(np.average(x[its], weights=weight)), float(np.average(y[its], weights=weight)), flux)
