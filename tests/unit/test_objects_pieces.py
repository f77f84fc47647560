"""Cutting, hashing, layout, inline values, settings: what the adapters are made of."""

import hashlib
import zlib
from collections.abc import AsyncIterator
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.compute import Value
from shared.contracts.errors import Internal, Invalid
from shared.contracts.ids import uuid7
from shared.contracts.topology import INLINE_LIMIT
from shared.objects import layout
from shared.objects.hashing import INLINE, Sha256, crc32, sha256
from shared.objects.inline import fetch, fits, keep
from shared.objects.multipart import MOST_PARTS, PART, part_length
from shared.objects.pieces import cut
from shared.objects.settings import ObjectsSettings
from shared.runtime.settings import load
from shared.testing.objects import MemoryObjects


@given(chunks=st.lists(st.binary(max_size=50), max_size=20), length=st.integers(1, 40))
async def test_pieces_are_whole_and_of_one_length(chunks: list[bytes], length: int) -> None:
    async def source() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    for data in (source(), b"".join(chunks)):
        pieces = [bytes(piece) async for piece in cut(data, length)]
        assert b"".join(pieces) == b"".join(chunks)
        assert all(len(piece) == length for piece in pieces[:-1])
        assert len(pieces) == max(1, -(-len(b"".join(chunks)) // length))


async def test_the_source_is_closed_when_reading_stops() -> None:
    closed = False

    async def source() -> AsyncIterator[bytes]:
        nonlocal closed
        try:
            while True:
                yield b"x" * 10
        finally:
            closed = True

    pieces = cut(source(), 5)
    await anext(pieces)
    await pieces.aclose()
    assert closed


@pytest.mark.parametrize("size", [0, 1, INLINE, INLINE + 1, 1 << 20])
async def test_hashes_are_what_they_say(size: int) -> None:
    data = b"\x07" * size
    running = Sha256()
    for at in range(0, size, 100_000):
        await running.update(data[at : at + 100_000])
    assert running.hex() == await sha256(data) == hashlib.sha256(data).hexdigest()
    assert running.digest().hex() == running.hex()
    assert running.size == size
    assert int.from_bytes(await crc32(data), "big") == zlib.crc32(data)


def test_parts_grow_with_the_object() -> None:
    assert part_length(None) == part_length(0) == part_length(PART * MOST_PARTS) == PART
    assert part_length(5 << 40) * MOST_PARTS >= 5 << 40
    assert part_length(5 << 40) < 1 << 30


def test_a_result_has_a_fresh_key_each_time() -> None:
    session, result = uuid7(), uuid7()
    first, second = layout.result_key(session, result), layout.result_key(session, result)
    assert first != second
    for key in (first, second):
        assert layout.check_key(key) == key
        assert key.startswith(layout.result_prefix(session, result))
        assert key.startswith(layout.session_prefix(session))
        assert UUID(key.rpartition("/")[2]).version == 7


@given(st.text(max_size=40))
def test_a_name_that_passes_is_one_segment(name: str) -> None:
    try:
        layout.check_name(name)
    except Invalid:
        return
    assert name not in ("", ".", "..")
    assert not set(name) & set("/\\\0\n\r\x7f")
    name.encode()


def test_surrogates_and_long_names_are_refused() -> None:
    for name in ("\ud800", "é" * 128):
        with pytest.raises(Invalid):
            layout.check_name(name)
        with pytest.raises(Invalid):
            layout.check_key(f"a/{name}")


async def test_small_values_travel_inline_and_large_ones_are_stored() -> None:
    objects, session, result = MemoryObjects(), uuid7(), uuid7()
    for size, inline in ((0, True), (INLINE_LIMIT, True), (INLINE_LIMIT + 1, False)):
        value = b"v" * size
        output = await keep(objects, session, result, value)
        assert fits(size) is inline
        assert (output.data == value) is inline
        assert (output.object is None) is inline
        assert output.size == size
        assert await fetch(objects, Value(result, size, output.data, output.object)) == value
    assert len(objects.objects) == 1
    with pytest.raises(Internal):
        await fetch(objects, Value(result, 0))


def test_settings_come_from_the_environment_and_hide_the_secret() -> None:
    env = {
        "HEADRACE_S3_ENDPOINT": "http://127.0.0.1:8333",
        "HEADRACE_S3_ACCESS_KEY": "me",
        "HEADRACE_S3_SECRET_KEY": "hidden",
        "HEADRACE_S3_PATIENCE": "2.5",
    }
    settings = load(ObjectsSettings, env)
    assert settings.s3_patience == 2.5
    assert settings.s3_bucket == "headrace"
    assert settings.is_loopback
    assert "hidden" not in repr(settings) + str(settings)
    assert not msgspec.structs.replace(settings, s3_endpoint="https://s3.example.org").is_loopback
