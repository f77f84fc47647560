"""The fake, held to the suite of the real one; and what only the fake can do."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from shared.contracts.errors import Unavailable
from shared.objects.identity import encode, new
from shared.testing.conformance_objects import ObjectsConformance, Replaced
from shared.testing.objects import MemoryObjects


@pytest.fixture
def objects() -> MemoryObjects:
    return MemoryObjects()


@pytest.fixture
def replaced(objects: MemoryObjects) -> Replaced:
    @asynccontextmanager
    async def replace(how: str) -> AsyncIterator[Callable[[], list[str]]]:
        markers = {"other": encode(new("memory")), "named": encode(new("another"))}
        with objects.replaced(markers.get(how)) as there:
            yield lambda: sorted(there)

    return replace


class TestMemory(ObjectsConformance):
    pass


async def test_it_can_be_away(objects: MemoryObjects) -> None:
    await objects.put("a", b"x")
    objects.away = True
    assert "away" in await objects.check()
    with pytest.raises(Unavailable):
        await objects.read("a", limit=9)
    objects.away = False
    assert await objects.read("a", limit=9) == b"x"


async def test_it_tells_what_was_left(objects: MemoryObjects) -> None:
    await objects.put("left/behind", b"x")
    with pytest.raises(AssertionError, match="left/behind"):
        objects.assert_empty()
    await objects.delete(["left/behind"])
    objects.assert_empty()
    assert objects.written == ["left/behind"]
