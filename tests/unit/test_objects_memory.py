"""The fake, held to the suite of the real one; and what only the fake can do."""

import pytest

from shared.contracts.errors import Unavailable
from shared.testing.conformance_objects import ObjectsConformance
from shared.testing.objects import MemoryObjects


@pytest.fixture
def objects() -> MemoryObjects:
    return MemoryObjects()


class TestMemory(ObjectsConformance):
    pass


async def test_it_can_be_away(objects: MemoryObjects) -> None:
    await objects.put("a", b"x")
    objects.away = True
    assert await objects.check() == "away"
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
