"""Addresses to upload to: asked for page by page, used while they are fresh, asked for again when they were refused."""

import asyncio
from collections.abc import Sequence

import pytest

from shared.client import upload_addresses
from shared.client.upload_addresses import PAGE, Address, Addresses


class Signer:
    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    async def __call__(self, paths: Sequence[str]) -> dict[str, Address]:
        self.asked.append(list(paths))
        await asyncio.sleep(0)
        return {path: Address(f"{path}?{len(self.asked)}") for path in paths}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(upload_addresses.time, "monotonic", lambda: now[0])
    return now


async def test_a_page_is_asked_for_once() -> None:
    signer, paths = Signer(), [f"{n:03}" for n in range(2 * PAGE + 1)]
    addresses = Addresses(signer, paths)
    await asyncio.gather(*(addresses.of(path) for path in paths))
    assert [len(asked) for asked in signer.asked] == [PAGE, PAGE, 1]
    assert [path for asked in signer.asked for path in asked] == paths


async def test_one_that_was_refused_is_asked_for_again_alone() -> None:
    signer = Signer()
    addresses = Addresses(signer, ["a", "b"])
    assert (await addresses.of("a")).url == "a?1"
    addresses.refused("a")
    assert (await addresses.of("a")).url == "a?2"
    assert (await addresses.of("b")).url == "b?1"
    assert signer.asked == [["a", "b"], ["a"]]


async def test_an_old_one_is_not_used_and_what_has_arrived_is_not_asked_for(clock: list[float]) -> None:
    signer = Signer()
    addresses = Addresses(signer, ["a", "b", "c"])
    await addresses.of("a")
    addresses.arrived("a")
    clock[0] = upload_addresses.FRESH - 1
    assert (await addresses.of("b")).url == "b?1"
    clock[0] = upload_addresses.FRESH
    assert (await addresses.of("b")).url == "b?2"
    assert signer.asked == [["a", "b", "c"], ["b", "c"]]


async def test_an_error_is_the_callers_and_the_next_call_asks_again() -> None:
    signer, fails = Signer(), True

    async def moody(paths: Sequence[str]) -> dict[str, Address]:
        if fails:
            raise ValueError
        return await signer(paths)

    addresses = Addresses(moody, ["a"])
    with pytest.raises(ValueError):  # noqa: PT011
        await addresses.of("a")
    fails = False
    assert (await addresses.of("a")).url == "a?1"
