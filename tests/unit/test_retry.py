"""Backoff grows to its ceiling; retry stops where it is told to."""

import pytest

from shared.runtime.retry import Backoff, retry

NOW = Backoff(first=0, jitter=0)


def test_backoff_doubles_up_to_its_ceiling() -> None:
    backoff = Backoff(first=0.1, factor=2, ceiling=1, jitter=0)
    assert [backoff.delay(n) for n in range(6)] == [0.1, 0.2, 0.4, 0.8, 1, 1]
    assert backoff.delay(100_000) == 1
    spread = Backoff(first=1, jitter=0.2)
    assert all(0.8 <= spread.delay(0) <= 1.2 for _ in range(100))


class Flaky:
    def __init__(self, failures: int) -> None:
        self.failures, self.calls = failures, 0

    async def __call__(self) -> int:
        self.calls += 1
        if self.calls <= self.failures:
            raise OSError(self.calls)
        return self.calls


async def test_it_tries_until_it_works_and_tells_each_failure() -> None:
    received: list[tuple[str, int]] = []
    assert await retry(Flaky(3), on=(OSError,), backoff=NOW, failed=lambda e, n: received.append((repr(e), n))) == 4
    assert received == [("OSError(1)", 1), ("OSError(2)", 2), ("OSError(3)", 3)]


async def test_the_last_of_its_tries_is_raised() -> None:
    flaky = Flaky(9)
    with pytest.raises(OSError, match="3"):
        await retry(flaky, on=(OSError,), backoff=NOW, attempts=3)
    assert flaky.calls == 3


async def test_another_error_is_raised_at_once() -> None:
    flaky = Flaky(9)
    with pytest.raises(OSError, match="1"):
        await retry(flaky, on=(KeyError,), backoff=NOW)
    assert flaky.calls == 1
