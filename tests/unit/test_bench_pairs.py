"""What pairs of benchmark runs say."""

import pytest

from tests.bench.pairs import interval


def test_no_difference_is_one() -> None:
    assert interval([1.0] * 10) == (1.0, 1.0, 1.0)


def test_the_mean_is_geometric() -> None:
    """Twice as long and half as long are no difference together."""
    mean, low, high = interval([2.0, 0.5] * 5)
    assert mean == pytest.approx(1.0)
    assert 0.5 <= low < 1.0 < high <= 2.0


def test_a_slow_pair_widens_the_interval() -> None:
    steady = interval([1.05] * 10)
    _, low, high = interval([1.05] * 9 + [1.6])
    assert high - low > steady[2] - steady[1]


def test_a_difference_in_every_pair_is_seen() -> None:
    _, low, _ = interval([1.10, 1.12, 1.08, 1.11, 1.09, 1.13, 1.10, 1.07, 1.12, 1.10])
    assert low > 1.03
