"""Storage on a file system, held to the suite of the others; and what only it can do."""

import hashlib
import os
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from shared.contracts.errors import NoRoom
from shared.objects.posix import PosixStore
from shared.testing.conformance_objects import StoreConformance, fresh, noise


@pytest.fixture
def objects(tmp_path: Path) -> PosixStore:
    return PosixStore(tmp_path)


class TestPosix(StoreConformance):
    pass


async def test_the_sums_are_what_sha256sum_reads(objects: PosixStore, tmp_path: Path) -> None:
    await objects.put("blocks/a.tar", noise(100_000))
    check = ["sha256sum", "--check", "--quiet", str(tmp_path / "sums/blocks/a.tar")]
    assert subprocess.run(check, cwd=tmp_path / "data/blocks").returncode == 0


async def test_what_has_to_stay_free_stays_free(tmp_path: Path) -> None:
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    full = PosixStore(tmp_path, reserve=2 * free)
    with pytest.raises(NoRoom, match="have to stay free"):
        await full.put("a", b"x", size=1)
    assert "have to stay free" in await full.check()
    assert await full.head("a") is None
    assert list((tmp_path / "parts").iterdir()) == []


async def test_a_disk_that_is_full(objects: PosixStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the kernel says it: writes to /dev/full fail with ENOSPC."""
    monkeypatch.setattr("shared.objects.posix._create", lambda part: Path("/dev/full").open("wb", buffering=0))  # noqa: SIM115
    with pytest.raises(NoRoom):
        await objects.put("a", b"x" * 10)
    assert await objects.head("a") is None


async def test_what_a_killed_process_left_is_swept(objects: PosixStore, tmp_path: Path) -> None:
    await objects.put(fresh(), b"x")
    left = tmp_path / "parts/left"
    left.write_bytes(b"half")
    assert await objects.sweep(timedelta(hours=1)) == 0
    os.utime(left, (0, 0))
    assert await objects.sweep(timedelta(hours=1)) == 1
    assert not left.exists()


async def test_a_hash_that_was_not_noted_is_empty(objects: PosixStore, tmp_path: Path) -> None:
    await objects.put("a", b"x")
    (tmp_path / "sums/a").unlink()
    found = await objects.head("a")
    assert found is not None
    assert (found.size, found.sha256) == (1, "")
    await objects.put("b", b"y")
    again = await objects.head("b")
    assert again is not None
    assert again.sha256 == hashlib.sha256(b"y").hexdigest()
