"""Sources: groups of bright pixels, their number, and the brightest."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.demo.astronomy.labels import labelled
from deploy.demo.astronomy.records import Source, Sources, Statistics
from deploy.demo.astronomy.sources import plane, sources
from deploy.demo.astronomy.statistics import Pixels, statistics
from tests.support.reference import flood

masks = st.tuples(st.integers(0, 12), st.integers(0, 12)).flatmap(
    lambda shape: st.lists(st.booleans(), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]).map(
        lambda bits: np.array(bits, dtype=bool).reshape(shape)
    )
)


def image(*groups: tuple[list[tuple[int, int]], float], rest: float = 100.0) -> Pixels:
    """An image of 60 × 60 pixels of value `rest` but in the groups: (y, x) of their pixels, and their value."""
    pixels = np.full((60, 60), rest)
    for group, value in groups:
        for y, x in group:
            pixels[y, x] = value
    return pixels


def found(pixels: Pixels) -> Sources:
    return sources(pixels, statistics(pixels))


def expected(mask: np.ndarray) -> np.ndarray:
    labels = np.zeros(mask.shape, dtype=int)
    for number, group in enumerate(flood(mask), 1):
        for place in group:
            labels[place] = number
    return labels


@given(masks)
def test_labels_are_those_of_a_flood_fill(mask: np.ndarray) -> None:
    labels, count = labelled(mask)
    assert np.array_equal(labels, expected(mask))
    assert count == labels.max(initial=0)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.593, 0.7, 0.95])
def test_labels_of_large_masks_are_those_of_a_flood_fill(share: float) -> None:
    mask = np.random.default_rng(7).random((90, 130)) < share
    assert np.array_equal(labelled(mask)[0], expected(mask))


def test_a_comb_and_a_serpentine_are_one_group() -> None:
    comb = np.zeros((50, 99), dtype=bool)
    comb[:, ::2] = True
    comb[-1] = True
    serpentine = np.zeros((49, 50), dtype=bool)
    serpentine[::2] = True
    serpentine[1::4, -1] = serpentine[3::4, 0] = True
    for mask in (comb, comb[::-1], comb.T, serpentine, serpentine.T):
        labels, count = labelled(mask)
        assert count == 1
        assert np.array_equal(labels, mask.astype(int))


def test_an_image_of_no_rows_and_a_great_many_columns_costs_nothing() -> None:
    assert labelled(np.zeros((0, 777_777_701), dtype=bool))[1] == 0


def test_the_brightest_is_the_one_of_the_largest_flux_at_its_weighted_centroid() -> None:
    cross = [(10, 20), (9, 20), (11, 20), (10, 19), (10, 21)]
    bar = [(40, 5), (40, 6), (40, 7), (40, 8), (40, 9), (40, 10)]
    pixels = image((cross, 5100.0), (bar, 4900.0))
    assert found(pixels) == Sources(2, Source(x=7.5, y=40.0, flux=6 * 4800.0))
    pixels[40, 10] += 5000  # heavier at its end
    best = found(pixels).brightest
    assert best is not None
    assert best.flux == 6 * 4800.0 + 5000
    assert best.x == pytest.approx((4800 * (5 + 6 + 7 + 8 + 9) + 9800 * 10) / best.flux)


def test_of_two_equally_bright_the_first_in_the_order_of_rows_is_named() -> None:
    square = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]
    pixels = image(([(y + 50, x + 3) for y, x in square], 9000.0), ([(y + 5, x + 40) for y, x in square], 9000.0))
    best = found(pixels).brightest
    assert best is not None
    assert (best.x, best.y) == (40.4, 5.8)


@pytest.mark.parametrize(("size", "count"), [(4, 0), (5, 1)])
def test_five_pixels_are_a_source_and_four_are_not(size: int, count: int) -> None:
    assert found(image(([(30, 10 + n) for n in range(size)], 5000.0))).count == count


def test_pixels_that_touch_at_a_corner_are_not_connected() -> None:
    assert found(image(([(10 + n, 10 + n) for n in range(9)], 5000.0))).count == 0
    corner = [(10, 10), (10, 11), (10, 12), (10, 13), (11, 14)]
    assert found(image((corner, 5000.0))).count == 0
    assert found(image(([*corner, (10, 14)], 5000.0))).count == 1


def test_a_pixel_must_be_above_the_threshold_and_not_at_it() -> None:
    of = Statistics(3600, -3.0, 100.0, 10.0, 10.0, 2.0)
    group = [(30, n) for n in range(5)]
    assert sources(image((group, 20.0), rest=0.0), of).count == 0
    assert sources(image((group, np.nextafter(20.0, 21.0)), rest=0.0), of).count == 1


def test_a_bright_patch_ends_at_pixels_without_a_value() -> None:
    pixels = image(([(30, n) for n in range(10, 19)], 5000.0))
    pixels[30, 14] = np.nan
    assert found(pixels).count == 0
    pixels[30, 14] = np.inf
    assert found(pixels).count == 0


def test_faint_pixels_and_holes_do_not_count() -> None:
    pixels = image(([(30, n) for n in range(10, 15)], -5000.0))
    assert found(pixels) == Sources(0)


@pytest.mark.parametrize("value", [0.1, 1e300, -7.0, np.nan, np.inf])
def test_an_image_of_one_value_has_none(value: float) -> None:
    assert found(np.full((20, 30), value)) == Sources(0)


def test_a_flux_beyond_float64_has_no_value() -> None:
    pixels = np.zeros((100, 100))
    pixels[5, :5] = 1e308
    of = statistics(pixels)
    assert of.std is None  # its square overflows
    assert sources(pixels, of) == Sources(0)
    assert sources(pixels, statistics(np.zeros(3))) == Sources(1, None)


@pytest.mark.parametrize(
    ("shape", "flat"),
    [
        ((4, 5), (4, 5)),
        ((1, 5), (1, 5)),
        ((1, 1, 4, 5), (4, 5)),
        ((1, 1, 1), (1, 1)),
        ((2, 4, 5), None),
        ((5,), None),
        ((), None),
    ],
)
def test_which_images_have_two_dimensions(shape: tuple[int, ...], flat: tuple[int, int] | None) -> None:
    of = plane(np.zeros(shape))
    assert (None if of is None else of.shape) == flat
