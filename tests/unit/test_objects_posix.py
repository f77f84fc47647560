"""Storage on a file system, held to the suite of the others; and what only it can do."""

import asyncio
import errno
import hashlib
import os
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

import pytest

from shared.contracts.errors import NoRoom, Unavailable, Unreadable
from shared.objects.folder import Folder
from shared.objects.hashing import sha256
from shared.objects.identity import Guard
from shared.objects.layout import MARKER
from shared.objects.posix import PosixStore
from shared.objects.storage_init import init_folder
from shared.testing.conformance_objects import Replaced, StoreConformance, fresh, noise
from tests.support.smalldisk import small_disk
from tests.support.wait import wait_until


@pytest.fixture
def share(tmp_path: Path) -> Path:
    """A folder that is a storage."""
    (root := tmp_path / "share").mkdir()
    init_folder(root, "lts")
    return root


@pytest.fixture
def objects(share: Path) -> PosixStore:
    return PosixStore(share, Guard("lts"))


@pytest.fixture
def replaced(share: Path) -> Replaced:
    """As a share looks that was unmounted: its folder is empty, or gone, or another share's."""

    @asynccontextmanager
    async def replace(how: str) -> AsyncIterator[Callable[[], list[str]]]:
        share.rename(away := share.with_name("away"))
        try:
            if how != "missing":
                share.mkdir()
            if how in ("other", "named"):
                init_folder(share, "lts" if how == "other" else "another")
            yield lambda: sorted(path.name for path in share.rglob("*"))
        finally:
            shutil.rmtree(share, ignore_errors=True)
            away.rename(share)

    return replace


class TestPosix(StoreConformance):
    pass


async def test_the_sums_are_what_sha256sum_reads(objects: PosixStore, share: Path) -> None:
    await objects.put("blocks/a.tar", noise(100_000))
    check = ["sha256sum", "--check", "--quiet", str(share / "sums/blocks/a.tar")]
    assert subprocess.run(check, cwd=share / "data/blocks").returncode == 0


async def test_what_has_to_stay_free_stays_free(share: Path) -> None:
    free = os.statvfs(share).f_bavail * os.statvfs(share).f_frsize
    full = PosixStore(share, Guard("lts"), reserve=2 * free)
    with pytest.raises(NoRoom, match="have to stay free"):
        await full.put("a", b"x", size=1)
    assert "have to stay free" in await full.check()
    assert await full.head("a") is None
    assert not (share / "parts").exists()


async def test_a_disk_that_is_full(objects: PosixStore, share: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the kernel says it: writes to /dev/full fail with ENOSPC."""
    full = Path("/dev/full")
    monkeypatch.setattr("shared.objects.posix.create_part", lambda folder, part: open(full, "wb", buffering=0))  # noqa: SIM115
    with pytest.raises(NoRoom):
        await objects.put("a", b"x" * 10)
    assert await objects.head("a") is None


async def test_what_a_killed_process_left_is_swept(objects: PosixStore, share: Path) -> None:
    await objects.put(fresh(), b"x")
    left = share / "parts/left"
    left.write_bytes(b"half")
    assert await objects.sweep(timedelta(hours=1)) == 0
    os.utime(left, (0, 0))
    assert await objects.sweep(timedelta(hours=1)) == 1
    assert not left.exists()


async def test_a_hash_that_was_not_noted_is_empty(objects: PosixStore, share: Path) -> None:
    await objects.put("a", b"x")
    (share / "sums/a").unlink()
    found = await objects.head("a")
    assert found is not None
    assert (found.size, found.sha256) == (1, "")
    await objects.put("b", b"y")
    again = await objects.head("b")
    assert again is not None
    assert again.sha256 == hashlib.sha256(b"y").hexdigest()


async def test_a_share_that_goes_away_while_it_is_written_takes_the_bytes_with_it(
    objects: PosixStore, share: Path
) -> None:
    """Whoever has begun goes on where he began: not a byte lands beneath the mount point."""
    away = share.with_name("away")

    async def source() -> AsyncIterator[bytes]:
        yield noise(100)
        share.rename(away)
        share.mkdir()
        yield noise(100)

    await objects.put("a/b", source())
    assert list(share.iterdir()) == []
    with pytest.raises(Unavailable, match="not mounted"):
        await objects.head("a/b")
    share.rmdir()
    away.rename(share)
    assert await objects.read("a/b", limit=999) == noise(100) * 2


async def test_a_share_that_is_really_unmounted() -> None:
    with small_disk(4) as disk:
        init_folder(disk.folder, "lts")
        objects = PosixStore(disk.folder, Guard("lts"))
        await objects.put("a", b"x")

        async def source() -> AsyncIterator[bytes]:
            yield noise(100)
            subprocess.run(["umount", "--lazy", disk.folder], check=True)
            assert list(disk.folder.iterdir()) == []
            yield noise(100)

        try:
            await objects.put("b", source())
            with pytest.raises(Unavailable, match="not mounted"):
                await objects.put("c", b"x")
            assert "not mounted" in await objects.check()
            assert list(disk.folder.iterdir()) == []
        finally:
            subprocess.run(["mount", "-t", "tmpfs", "tmpfs", disk.folder], check=True)  # for `small_disk` to take away


@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE, errno.EKEYEXPIRED, errno.ENOTCONN])
async def test_a_share_that_cannot_be_opened_is_away(
    objects: PosixStore, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """As with an expired ticket, or too many open files: it is waited for, and nobody takes it for a datablock's fault."""

    def refuses(path: str) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("shared.objects.posix.Folder", refuses)
    with pytest.raises(Unavailable, match=os.strerror(number)):
        await objects.head("a")
    assert os.strerror(number) in await objects.check()


async def test_a_listing_that_fails_is_not_an_empty_one(objects: PosixStore, share: Path) -> None:
    """A folder that cannot be read, as on a disk that fails, was passed over without a word."""
    await objects.put("a/b", b"x")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fwalk", lambda *_, onerror, **__: iter([onerror(OSError(errno.EIO, "broken"))]))
        with pytest.raises(Unavailable, match="broken"):
            _ = [one async for one in objects.list("a/")]


@pytest.mark.parametrize("number", [errno.EIO, errno.EUCLEAN, errno.EACCES])
async def test_one_object_that_cannot_be_read(
    objects: PosixStore, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a bad sector: the marker can be read, so the storage is there. With the storage away it is Unavailable, no more."""
    await objects.put("a", b"x")
    bad, open_file = {"data/a"}, Folder.open

    def fails(folder: Folder, path: str, start: int = 0) -> BinaryIO:
        if path in bad:
            raise OSError(number, os.strerror(number))
        return open_file(folder, path, start)

    monkeypatch.setattr(Folder, "open", fails)
    with pytest.raises(Unreadable, match="object 'a'"):
        await objects.read("a", limit=9)
    bad.add(MARKER)
    with pytest.raises(Unavailable) as away:
        await objects.read("a", limit=9)
    assert not isinstance(away.value, Unreadable)


async def test_a_share_that_hangs_holds_up_nobody_else(objects: PosixStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a hard mount does whose server is away: each question about its health kept a thread, and hashing had none left."""
    monkeypatch.setattr("shared.objects.posix.PATIENCE", 0.05)
    back, begun = threading.Event(), 0

    def hangs(path: str) -> Folder:
        nonlocal begun
        begun += 1
        back.wait()
        return Folder(path)

    monkeypatch.setattr("shared.objects.posix.Folder", hangs)
    reading = asyncio.create_task(objects.head("a"))
    try:
        async with asyncio.timeout(30):
            answers = await asyncio.gather(*(objects.check() for _ in range(50)))
            assert len({*answers}) == 1
            assert "'lts'" in answers[0]
            assert "no answer" in answers[0]
            assert await sha256(noise(200_000)) == hashlib.sha256(noise(200_000)).hexdigest()
        assert begun <= 2
    finally:
        back.set()
    assert await reading is None
    await wait_until(lambda: is_well(objects))


async def is_well(objects: PosixStore) -> bool:
    return await objects.check() == "ok"
