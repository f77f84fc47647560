"""Statistics of pixels."""

import math

import numpy as np
import numpy.typing as npt

from deploy.demo.astronomy.records import Statistics

Pixels = npt.NDArray[np.float64]


def statistics(pixels: Pixels) -> Statistics:
    """The statistics of the finite pixels, whatever the shape of the array; all null if there is none."""
    finite = pixels[np.isfinite(pixels)]
    if not finite.size:
        return Statistics(0, None, None, None, None, None)
    # Near the largest float64 a sum may overflow, while the minimum is still well known.
    with np.errstate(all="ignore"):
        found = finite.min(), finite.max(), finite.mean(), np.median(finite), finite.std()
    return Statistics(finite.size, *(number(value) for value in found))


def number(value: float | np.floating) -> float | None:
    """As JSON can say it: null for what is not finite."""
    return float(value) if math.isfinite(value) else None
