"""Datablocks: files shared out and packed, in memory; what Python's tarfile and the system's tar make of it."""

import hashlib
import io
import subprocess
import tarfile
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from services.archiver.archive.packing import BLOCK, RECORD, Tar, manifest, share_out
from services.archiver.catalogue.store.files import File
from shared.chain.errors import UserError
from tests.support.tars import listed, members, packed, reading

FILES = {
    "a/first.fits": bytes(range(256)) * 40,
    "a/second.fits": b"x" * BLOCK,
    "b/ü é ☃.txt": b"small",
    "b/percent %.txt": b"%",
    "b/%25": b"encoded already?",
    "b/with 'quotes\" and $(things) -rf *": b"q",
    "-leading-dash": b"d",
    "@PaxHeader": b"p",
    "empty": b"",
    "long/" + "n" * 255: b"a segment of 255 bytes",
    "ü" * 127 + "/" + "☃" * 85: b"segments of 254 and 255 bytes, of fewer characters",
    "/".join(["d" * 60] * 10) + "/file": b"a path of more than 512 bytes",
    "edge/" + "e" * (100 - len("bag_0/data/edge/")): b"a member's name of exactly 100 bytes",
    "edge/" + "e" * (101 - len("bag_0/data/edge/")): b"one more",
}


def file(path: str, size: int) -> File:
    return File(path, size, "0" * 64)


def shared(sizes: dict[str, int], target: int) -> list[list[str]]:
    return [[one.path for one in block] for block in share_out([file(p, s) for p, s in sizes.items()], target)]


@pytest.mark.parametrize(
    ("sizes", "blocks"),
    [
        ({}, []),
        ({"b": 1, "a": 1}, [["a", "b"]]),
        ({"a": 5, "b": 5, "c": 1}, [["a", "b"], ["c"]]),
        ({"a": 6, "b": 5}, [["a"], ["b"]]),
        ({"a": 11}, [["a"]]),
        ({"a": 11, "b": 1}, [["a"], ["b"]]),
        ({"a": 1, "b": 11, "c": 1}, [["a"], ["b"], ["c"]]),
        ({"a": 11, "b": 0}, [["a"], ["b"]]),
        ({"a": 10, "b": 0, "c": 1}, [["a", "b"], ["c"]]),
        ({"a": 0}, [["a"]]),
        ({"B": 1, "a": 1, "ä": 1, "a/b": 1, "a.b": 1}, [["B", "a", "a.b", "a/b", "ä"]]),
    ],
)
def test_files_are_shared_out_in_the_order_of_their_paths(sizes: dict[str, int], blocks: list[list[str]]) -> None:
    assert shared(sizes, target=10) == blocks


async def test_a_tar_holds_the_bag_and_the_manifest_last() -> None:
    tar, data = await packed("bag_0", FILES)
    found = members(data)
    order = sorted(FILES)
    assert list(found) == ["bag_0/bagit.txt", *(f"bag_0/data/{p}" for p in order), "bag_0/manifest-sha256.txt"]
    assert {path: found[f"bag_0/data/{path}"] for path in order} == FILES
    assert found["bag_0/bagit.txt"] == b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
    assert found["bag_0/manifest-sha256.txt"] == tar.manifest
    assert len(data) == tar.size
    assert tar.size % RECORD == 0


async def test_starts_point_at_the_first_bytes() -> None:
    tar, data = await packed("bag_0", FILES)
    assert {p: data[at : at + len(FILES[p])] for p, at in tar.starts.items()} == FILES
    assert all(at % BLOCK == 0 for at in tar.starts.values())


async def test_the_system_s_tar_unpacks_it(tmp_path: Path) -> None:
    _, data = await packed("bag_0", FILES)
    subprocess.run(["tar", "-x", "-f", "-", "-C", str(tmp_path)], input=data, check=True)
    bag = tmp_path / "bag_0"
    there = {p.relative_to(bag / "data").as_posix(): p.read_bytes() for p in bag.rglob("data/**/*") if p.is_file()}
    assert there == FILES
    sums = (bag / "manifest-sha256.txt").read_text().replace("%25", "%")
    assert subprocess.run(["sha256sum", "--check", "--quiet"], input=sums, text=True, cwd=bag).returncode == 0


async def test_python_s_data_filter_lets_it_pass(tmp_path: Path) -> None:
    """Nothing in it is what a careful unpacker refuses."""
    _, data = await packed("bag_0", FILES)
    (tmp_path / "bag.tar").write_bytes(data)
    with tarfile.open(tmp_path / "bag.tar") as tar:
        tar.extractall(tmp_path, filter="data")
    assert (tmp_path / "bag_0/data/b/%25").read_bytes() == FILES["b/%25"]


async def test_the_same_files_give_the_same_bytes() -> None:
    _, one = await packed("bag_0", FILES, piece=7)
    _, two = await packed("bag_0", dict(reversed(FILES.items())), piece=100_000)
    assert one == two
    assert {(m.mtime, m.uid, m.gid, m.uname, m.mode) for m in _infos(one)} == {(0, 0, 0, "", 0o644)}


def _infos(data: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return tar.getmembers()


def test_sizes_beyond_the_old_header_s_limit_are_announced() -> None:
    """8 GiB do not fit into the octal field."""
    size = 9 << 30
    tar = Tar("bag_0", [file("large", size), file("next", 1)])
    assert tar.starts["next"] > tar.starts["large"] + size
    assert tar.size > size


@pytest.mark.parametrize(
    ("came", "why"),
    [
        (b"12345", "its bytes hash to"),
        (b"123", "3 bytes came, 5 were registered"),
        (b"", "0 bytes came"),
        (b"123456789", "more than 5 bytes came"),
    ],
)
async def test_a_file_that_is_another_ends_the_tar_there(came: bytes, why: str) -> None:
    registered = {"a": b"a" * 10, "b/wrong": b"abcde", "c": b"c"}
    asked: list[str] = []
    inner = reading(registered | {"b/wrong": came}, piece=4)

    async def read(path: str) -> AsyncGenerator[bytes, None]:
        asked.append(path)
        async for chunk in inner(path):
            yield chunk

    tar, sent = Tar("bag_0", listed(registered)), bytearray()

    async def send() -> None:
        async for chunk in tar.stream(read):
            sent.extend(chunk)

    with pytest.raises(UserError, match=f"^b/wrong: .*{why}"):
        await send()
    assert asked == ["a", "b/wrong"]
    assert len(sent) <= tar.starts["b/wrong"] + 5
    assert tar.manifest not in sent


async def test_a_reader_that_goes_away_lets_the_file_go() -> None:
    """At once, not when somebody collects garbage: behind it is a connection."""
    closed: list[str] = []

    async def read(path: str) -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield b"x"
        finally:
            closed.append(path)

    stream = Tar("bag_0", [file("a", 10)]).stream(read)
    for _ in range(3):
        await anext(stream)
    await stream.aclose()
    assert closed == ["a"]


def test_the_manifest_is_that_of_rfc_8493() -> None:
    """A hash, white space, the path below the bag; a percent sign encoded, and nothing else, once."""
    lines = manifest(listed(FILES)).decode().split("\n")
    assert lines.pop() == ""
    for line, path in zip(lines, sorted(FILES), strict=True):
        digest, _, name = line.partition("  ")
        assert digest == hashlib.sha256(FILES[path]).hexdigest()
        assert name == f"data/{path.replace('%', '%25')}"
    assert any(line.endswith("data/b/%2525") for line in lines)
