"""Cutting a body at line ends: nothing lost, nothing moved, lines counted as they stand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.compute.chunks import Chunk, Cutter
from shared.contracts.errors import Invalid, TooLarge


def cut(body: bytes, limit: int, step: int, lines: int = 100) -> list[Chunk]:
    cutter = Cutter(limit, lines)
    chunks = [chunk for at in range(0, len(body), step) for chunk in cutter.feed(body[at : at + step])]
    return [*chunks, cutter.finish()]


@given(st.lists(st.binary(min_size=1, max_size=12).map(lambda raw: raw.hex().encode()), min_size=1), st.integers(1, 50))
def test_chunks_are_the_body(lines: list[bytes], step: int) -> None:
    body = b"\n".join(lines)
    for ending in (b"", b"\n", b"\r\n\n \n"):
        chunks = cut(body + ending, 40, step)
        assert b"".join(chunk.data for chunk in chunks) == body
        assert [chunk.number for chunk in chunks] == list(range(len(chunks)))
        assert all(len(chunk.data) <= 40 for chunk in chunks)
        first = 0
        for chunk in chunks:
            assert chunk.first == first
            assert chunk.data.split(b"\n")[0] == lines[first]
            first += chunk.lines
        assert first == len(lines)
        assert all(chunk.data.endswith(b"\n") for chunk in chunks[:-1])


@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 30), st.sampled_from([b"", b"\n", b"\r\n\n \n"]))
def test_a_chunk_has_so_many_lines_at_most(count: int, most: int, step: int, ending: bytes) -> None:
    body = b"\n".join(b"%d" % n for n in range(count))
    chunks = cut(body + ending, 1000, step, most)
    assert b"".join(chunk.data for chunk in chunks) == body
    assert [chunk.lines for chunk in chunks[:-1]] == [most] * (len(chunks) - 1)
    assert 1 <= chunks[-1].lines <= most


def test_blank_lines_inside_are_lines() -> None:
    [chunk] = cut(b"a\n\nb\n", 40, 3)
    assert (chunk.data, chunk.lines) == (b"a\n\nb", 3)


def test_a_line_too_long_is_named() -> None:
    with pytest.raises(TooLarge) as caught:
        cut(b"a\nb\n" + b"x" * 50 + b"\nc", 40, 7)
    assert caught.value.field == "tasks[2]"


def test_a_line_of_exactly_the_limit_goes_through_at_the_end() -> None:
    assert cut(b"x" * 40, 40, 100)[0].data == b"x" * 40


@pytest.mark.parametrize("body", [b"", b"\n", b" \r\n\t\n"])
def test_nothing_is_refused(body: bytes) -> None:
    with pytest.raises(Invalid) as caught:
        cut(body, 40, 10)
    assert caught.value.field == "tasks"


def test_endless_blank_lines_are_refused_before_they_fill_the_memory() -> None:
    with pytest.raises(Invalid):
        cut(b"a\n" + b"\n" * 1000, 40, 16)
