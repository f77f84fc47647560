"""Connected groups of pixels, by union-find over runs.

A run is a stretch of set pixels in one row. Runs of neighbouring rows that share a column belong together; all of it is
done for all runs at once, so that the time goes by their number and no Python is executed for a pixel.
"""

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.intp]


def labelled(mask: npt.NDArray[np.bool]) -> tuple[Integers, int]:
    """The 4-connected groups of a mask of shape (height, width): labels of the same shape, and how many there are.

    0 where the mask is not set, else 1 to n in the order of each group's first pixel, row by row.
    """
    first, last = _runs(mask)
    root = _roots(len(first), *_touching(first, last, mask.shape[1] + 1))
    roots, group = np.unique(root, return_inverse=True)
    labels = np.zeros(mask.shape, dtype=np.intp)
    # Set pixels in row order are the runs one after the other.
    labels[mask] = np.repeat(group + 1, last - first)
    return labels, len(roots)


def _runs(mask: npt.NDArray[np.bool]) -> tuple[Integers, Integers]:
    """Where runs begin and end (exclusive), counted row by row as if each row had one more pixel, which is not set."""
    height, width = mask.shape
    edges = np.zeros((height, width + 2), dtype=np.int8)
    edges[:, 1:-1] = mask
    step = np.diff(edges, axis=1)
    first, last = np.flatnonzero(step == 1), np.flatnonzero(step == -1)
    return first, last


def _touching(first: Integers, last: Integers, stride: int) -> tuple[Integers, Integers]:
    """Pairs of runs that touch: those of the upper row, and for each the one of the next."""
    # Runs are in order and apart, so those that overlap a run moved down by one row are consecutive.
    begin = np.searchsorted(last, first + stride, side="right")
    end = np.searchsorted(first, last + stride, side="left")
    counts = np.maximum(end - begin, 0)
    upper = np.repeat(np.arange(len(first)), counts)
    nth = np.arange(len(upper)) - np.repeat(np.cumsum(counts) - counts, counts)
    return upper, np.repeat(begin, counts) + nth


def _roots(count: int, a: Integers, b: Integers) -> Integers:
    """For each of `count` elements the least that it is connected to, when each of `a` is connected to that of `b`."""
    parent = np.arange(count)
    while True:
        one, other = parent[a], parent[b]
        if np.array_equal(one, other):
            return parent
        # A root is hooked only onto a lesser one: no cycles. Then every element is let point to its root again.
        np.minimum.at(parent, np.maximum(one, other), np.minimum(one, other))
        while not np.array_equal(parent, above := parent[parent]):
            parent = above
