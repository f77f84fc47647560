"""The small picture of an image."""

import numpy as np
import pytest

from deploy.demo.astronomy.statistics import Pixels
from deploy.demo.astronomy.thumbnail import thumbnail


def grey(pixels: Pixels) -> np.ndarray:
    small = thumbnail(0, pixels)
    return np.frombuffer(small.pixels, dtype=np.uint8).reshape(small.height, small.width)


@pytest.mark.parametrize(
    ("shape", "small", "step"),
    [((10, 20), (10, 20), 1), ((128, 128), (128, 128), 1), ((129, 1), (65, 1), 2), ((300, 440), (75, 110), 4)],
)
def test_it_keeps_the_proportions_and_has_128_pixels_at_most(
    shape: tuple[int, int], small: tuple[int, int], step: int
) -> None:
    found = thumbnail(3, np.zeros(shape))
    assert (found.hdu, found.height, found.width, found.step) == (3, *small, step)
    assert len(found.pixels) == small[0] * small[1]


def test_a_pixel_is_the_mean_of_the_finite_ones_that_it_stands_for() -> None:
    pixels = np.zeros((256, 2))
    pixels[0:2] = [[8.0, np.nan], [np.nan, np.nan]]
    pixels[2:4] = 4.0
    pixels[4:6] = np.nan
    found = grey(pixels)[:, 0]
    assert found[0] >= found[1] > found[3]
    assert found[2] == 0
    assert (found[3:] == 1).all()


def test_it_is_dark_to_bright_and_0_where_there_is_no_value() -> None:
    pixels = np.arange(100.0).reshape(10, 10)
    pixels[9, 9] = np.nan
    found = grey(pixels)
    assert (found[0, 0], found[9, 8], found[9, 9]) == (1, 255, 0)
    assert (np.diff(found.ravel()[:-1].astype(int)) >= 0).all()


def test_a_hot_pixel_does_not_darken_the_others() -> None:
    pixels = np.random.default_rng(7).normal(100, 5, (100, 100))
    pixels[50, 50] = 1e9
    assert np.median(grey(pixels)) > 100


@pytest.mark.parametrize("value", [0.0, -3.5, 1e308])
def test_an_image_of_one_value_is_even(value: float) -> None:
    assert set(grey(np.full((4, 4), value)).ravel()) == {76}


def test_an_image_of_no_values_is_empty() -> None:
    assert not grey(np.full((4, 4), np.nan)).any()
    assert not grey(np.full((300, 4), np.inf)).any()
