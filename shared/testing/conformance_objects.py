"""What object storage has to do: the suite that the fake and the real adapter both pass.

class TestMemory(ObjectsConformance): …   # with fixtures `objects` and `replaced`

`StoreConformance` is for stores that hand out no addresses.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from uuid import uuid4

import pytest

from shared.contracts.errors import AlreadyExists, Conflict, Invalid, NotFound, TooLarge, Unavailable
from shared.objects.layout import MARKER
from shared.objects.port import Objects, Store, Stored

EMPTY = hashlib.sha256(b"").hexdigest()
Replaced = Callable[[str], AbstractAsyncContextManager[Callable[[], list[str]]]]
"""Puts something else where the storage is, for a block: `missing` (nothing), `empty` (a storage's place without a marker),
`other` (another storage of the same name), `named` (a storage of another name). Gives a function: what is written there."""


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        await asyncio.sleep(0)
        yield chunk


async def whole(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


def fresh(name: str = "object") -> str:
    return f"conformance/{uuid4()}/{name}"


def noise(size: int) -> bytes:
    """Bytes that differ from place to place, so that a mixed-up order shows."""
    block = b"".join(hashlib.sha256(n.to_bytes(4, "big")).digest() for n in range(2048))
    times, rest = divmod(size, len(block) + 1)
    return (block + b"x") * times + block[:rest]


class StoreConformance:
    """Override the fixture `objects`; `PART` is the length from which the adapter uploads in parts."""

    PART = 64 * 1024

    async def test_bytes_come_back_with_size_and_hash(self, objects: Store) -> None:
        key, data = fresh(), b"headrace" * 100
        stored = await objects.put(key, data)
        assert stored == Stored(key, len(data), hashlib.sha256(data).hexdigest())
        assert await whole(objects.get(key)) == data
        assert await objects.head(key) == stored

    async def test_an_empty_object_is_an_object(self, objects: Store) -> None:
        key = fresh()
        assert (await objects.put(key, b"")).size == 0
        assert await whole(objects.get(key)) == b""
        assert (await objects.put(fresh(), stream())).size == 0

    @pytest.mark.parametrize("parts", [0.5, 1, 1.5, 2, 7.25])
    async def test_streams_of_any_length_and_cut(self, objects: Store, parts: float) -> None:
        data = noise(int(self.PART * parts))
        for step in (len(data), self.PART // 3 + 1, self.PART):
            key = fresh()
            cut = [data[at : at + step] for at in range(0, len(data), step)]
            stored = await objects.put(key, stream(*cut), size=len(data))
            assert stored == Stored(key, len(data), hashlib.sha256(data).hexdigest())
            assert await whole(objects.get(key)) == data
            head = await objects.head(key)
            assert head is not None
            assert head.size == len(data)

    async def test_ranges_are_cut_like_slices(self, objects: Store) -> None:
        key, data = fresh(), noise(1000)
        await objects.put(key, data)
        for start, end in ((0, None), (0, 10), (10, 20), (990, None), (990, 2000), (1000, None), (5000, 6000), (7, 7)):
            assert await whole(objects.get(key, start=start, end=end)) == data[start:end], (start, end)
        for start, end in ((-1, None), (5, 4)):
            with pytest.raises(Invalid):
                await whole(objects.get(key, start=start, end=end))

    async def test_what_is_not_there(self, objects: Store) -> None:
        key = fresh()
        assert await objects.head(key) is None
        with pytest.raises(NotFound):
            await whole(objects.get(key))
        with pytest.raises(NotFound):
            await objects.read(key, limit=10)
        await objects.delete([key])

    async def test_a_key_is_written_once(self, objects: Store) -> None:
        for first, second in ((b"first", b"second"), (b"first", noise(self.PART * 2))):
            key = fresh()
            await objects.put(key, first)
            with pytest.raises(AlreadyExists):
                await objects.put(key, second)
            assert await whole(objects.get(key)) == first
            await objects.put(key, second, if_absent=False)
            assert await whole(objects.get(key)) == second

    async def test_of_many_writers_one_wins(self, objects: Store) -> None:
        key = fresh()
        done = await asyncio.gather(*(objects.put(key, bytes([n]) * 9) for n in range(8)), return_exceptions=True)
        winners = [n for n, one in enumerate(done) if isinstance(one, Stored)]
        assert len(winners) == 1, done
        assert all(isinstance(one, Stored | AlreadyExists) for one in done), done
        assert await whole(objects.get(key)) == bytes(winners) * 9

    async def test_a_source_that_fails_leaves_nothing(self, objects: Store) -> None:
        class Broken(Exception):
            pass

        async def breaks(parts: float) -> AsyncIterator[bytes]:
            for _ in range(int(parts * 4)):
                yield noise(self.PART // 4)
            raise Broken

        for parts in (0, 0.5, 1, 3, 9):
            key = fresh()
            with pytest.raises(Broken):
                await objects.put(key, breaks(parts))
            assert await objects.head(key) is None

    async def test_a_put_that_is_cancelled_leaves_nothing(self, objects: Store) -> None:
        key, reached, never = fresh(), asyncio.Event(), asyncio.Event()

        async def stalls() -> AsyncIterator[bytes]:
            for _ in range(3):
                yield noise(self.PART)
            reached.set()
            await never.wait()

        putting = asyncio.create_task(objects.put(key, stalls()))
        await reached.wait()
        putting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await putting
        assert await objects.head(key) is None

    @pytest.mark.parametrize("parts", [0.5, 3])
    async def test_what_was_announced_has_to_come(self, objects: Store, parts: float) -> None:
        data = noise(int(self.PART * parts))
        digest = hashlib.sha256(data).hexdigest()
        for announced in ({"size": len(data) + 1}, {"size": len(data) - 1}, {"sha256": "0" * 64}):
            key = fresh()
            with pytest.raises(Invalid):
                await objects.put(key, stream(data), **announced)
            assert await objects.head(key) is None
        await objects.put(fresh(), stream(data), size=len(data), sha256=digest)

    @pytest.mark.parametrize("parts", [0.5, 3])
    async def test_a_limit_is_kept(self, objects: Store, parts: float) -> None:
        data, key = noise(int(self.PART * parts)), fresh()
        with pytest.raises(TooLarge):
            await objects.put(key, stream(data), limit=len(data) - 1)
        with pytest.raises(TooLarge):
            await objects.put(key, data, size=len(data), limit=len(data) - 1)
        assert await objects.head(key) is None
        await objects.put(key, stream(data), limit=len(data))
        assert await objects.read(key, limit=len(data)) == data
        with pytest.raises(TooLarge):
            await objects.read(key, limit=len(data) - 1)

    async def test_an_object_that_changes_while_it_is_read(self, objects: Store) -> None:
        key = fresh()
        await objects.put(key, noise(40 * 1024 * 1024))
        seen = 0
        chunks = objects.get(key)
        first = await anext(chunks)
        await objects.put(key, b"other", if_absent=False)
        try:
            async for chunk in chunks:
                seen += len(chunk)
        except (Conflict, NotFound):
            return
        # A server that holds on to what it began to send may also finish it: whole, never mixed.
        assert len(first) + seen == 40 * 1024 * 1024

    async def test_deleting_many_and_again(self, objects: Store) -> None:
        prefix = f"conformance/{uuid4()}/"
        keys = [f"{prefix}{n:03}" for n in range(12)]
        for key in keys:
            await objects.put(key, b"x")
        await objects.delete(iter([*keys[:6], prefix + "nothing"]))
        await objects.delete(keys[:6])
        await objects.delete([])
        assert [stored.key async for stored in objects.list(prefix)] == keys[6:]
        await objects.delete(f"{prefix}{n:05}" for n in range(1001))

    async def test_listing_goes_by_prefix_and_in_order(self, objects: Store) -> None:
        prefix = f"conformance/{uuid4()}"
        for name in ("b/2", "a/10", "a/1", "ab"):
            await objects.put(f"{prefix}/{name}", name.encode())
        found = [(stored.key.removeprefix(prefix), stored.size) async for stored in objects.list(f"{prefix}/a")]
        assert found == [("/a/1", 3), ("/a/10", 4), ("/ab", 2)]
        assert [stored async for stored in objects.list(f"{prefix}/nothing")] == []

    async def test_keys_that_people_write(self, objects: Store) -> None:
        for name in ("ü é 中", "a+b%20&=?#;:@", "'\"<>*|", "..hidden..", "~"):
            key = fresh(name)
            await objects.put(key, name.encode())
            assert await objects.read(key, limit=100) == name.encode()
            assert [stored.key async for stored in objects.list(key)] == [key]
            await objects.delete([key])
            assert await objects.head(key) is None

    @pytest.mark.parametrize(
        "key",
        [
            "",
            "/abs",
            "a//b",
            "a/",
            "../up",
            "a/../b",
            "a/./b",
            "a\\b",
            "a\nb",
            "a\x00b",
            "inline:x",
            "k" * 256,
            "a/" * 600 + "b",
        ],
    )
    async def test_keys_that_are_refused(self, objects: Store, key: str) -> None:
        for call in (
            lambda: objects.put(key, b"x"),
            lambda: objects.head(key),
            lambda: objects.delete([key]),
            lambda: objects.read(key, limit=1),
            lambda: whole(objects.get(key)),
        ):
            with pytest.raises(Invalid):
                await call()

    async def test_it_says_that_it_is_well(self, objects: Store) -> None:
        assert await objects.check() == "ok"

    @pytest.mark.parametrize("how", ["missing", "empty", "other", "named"])
    async def test_a_storage_that_is_not_there_is_not_an_empty_one(
        self, objects: Store, replaced: Replaced, how: str
    ) -> None:
        """Nothing is written, read or believed; when it is back, everything is as it was."""
        key = fresh()
        await objects.put(key, b"kept")

        async def listing() -> None:
            assert [one async for one in objects.list("conformance/")] != []

        async with replaced(how) as written:
            before = written()
            for call in (
                lambda: objects.head(key),
                lambda: objects.read(key, limit=9),
                lambda: whole(objects.get(key)),
                lambda: objects.put(key, b"lost"),
                lambda: objects.put(fresh(), noise(self.PART * 2)),
                lambda: objects.delete([key]),
                lambda: objects.sweep(timedelta(0)),
                listing,
            ):
                with pytest.raises(Unavailable):
                    await call()
            assert await objects.check() != "ok"
            assert written() == before
        assert await objects.check() == "ok"
        assert await objects.read(key, limit=9) == b"kept"

    async def test_nobody_writes_the_marker_as_an_object(self, objects: Store) -> None:
        for call in (objects.head(MARKER), objects.put(MARKER, b"x", if_absent=False), objects.delete([MARKER])):
            with pytest.raises(Invalid):
                await call
        assert MARKER not in [one.key async for one in objects.list("")]


class ObjectsConformance(StoreConformance):
    """And addresses for others."""

    @pytest.mark.parametrize("expires", [timedelta(0), timedelta(minutes=15, seconds=1)])
    async def test_urls_live_for_a_while(self, objects: Objects, expires: timedelta) -> None:
        with pytest.raises(Invalid):
            await objects.presign_get(fresh(), expires)
        with pytest.raises(Invalid):
            await objects.presign_put(fresh(), expires, size=1, sha256=EMPTY)

    async def test_no_address_of_a_storage_that_is_not_there(self, objects: Objects, replaced: Replaced) -> None:
        async with replaced("empty"):
            with pytest.raises(Unavailable):
                await objects.presign_get(fresh(), timedelta(minutes=1))
            with pytest.raises(Unavailable):
                await objects.presign_put(fresh(), timedelta(minutes=1), size=0, sha256=EMPTY)

    async def test_keys_without_an_address(self, objects: Objects) -> None:
        for key in ("", "../up", "a\nb"):
            with pytest.raises(Invalid):
                await objects.presign_get(key, timedelta(minutes=1))
            with pytest.raises(Invalid):
                await objects.presign_put(key, timedelta(minutes=1), size=0, sha256=EMPTY)
