"""`headrace retrieve` against an HTTP server with set answers: what goes wrong, and what then is said."""

import errno
import hashlib
import io
import json
import os
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from shared.client import partial_file
from shared.client.cli import file_names
from shared.client.cli.__main__ import run
from shared.client.cli.file_names import FileNames
from shared.client.cli.unpack import unpack
from shared.client.errors import FailedError
from tests.support.data_edge import edge
from tests.support.facility import AT, PID, Edge

__all__ = ["edge"]


def bag(files: dict[str, bytes], name: str = "a-b_0") -> bytes:
    """A datablock as the archiver packs it."""
    made = [(path, data, 0o644) for path, data in files.items()]
    lines = "".join(f"{hashlib.sha256(data).hexdigest()}  data/{path.replace('%', '%25')}\n" for path, data, _ in made)
    return tar(
        {f"{name}/data/{path}": data for path, data in files.items()} | {f"{name}/manifest-sha256.txt": lines.encode()}
    )


def tar(members: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in members.items():
            info = data if isinstance(data, tarfile.TarInfo) else tarfile.TarInfo(name)
            if isinstance(data, bytes):
                info.size = len(data)
            archive.addfile(info, io.BytesIO(data) if isinstance(data, bytes) else None)
    return out.getvalue()


def stored(edge: Edge, data: bytes, name: str = "a-b_0.tar", **said: Any) -> None:
    """A retrieval that is done, and its one datablock in object storage."""
    stored_all(edge, {name: data}, **said)


def stored_all(edge: Edge, tars: dict[str, bytes], page: int = 2, **said: Any) -> None:
    """A retrieval that is done, and its datablocks in object storage, whose addresses come in pages."""
    names = sorted(tars)

    def create(_: Any, body: bytes) -> tuple[int, Any]:
        id = json.loads(body)["id"]
        about = {"id": id, "pid": PID, "status": "done", "step": "", "error": "", "size": sum(map(len, tars.values()))}
        received = about | {"datablocks": len(tars), "blocks_back": len(tars)} | said
        edge.answers[f"GET /data/v1/retrievals/{id}"] = (200, received)
        edge.answers[f"GET /data/v1/retrievals/{id}/urls"] = urls
        return 201, received

    def urls(*_: Any) -> tuple[int, Any]:
        start = int(edge.query.get("token", 0))
        items = [item(number) for number in range(start, min(start + page, len(names)))]
        return 200, {"items": items, "expires_at": "", "next": str(start + page) if start + page < len(names) else ""}

    def item(number: int) -> dict[str, Any]:
        data = tars[names[number]]
        at = "tar" if len(tars) == 1 else names[number]
        about = {"name": names[number], "size": len(data), "chk": hashlib.sha256(data).hexdigest()}
        return about | {"url": f"{edge.url}/s3/{at}", "datablock": f"block-{number}"}

    def reads(data: bytes) -> Any:
        def get(headers: Any, _: bytes) -> tuple[int, Any]:
            start = int((headers["Range"] or "bytes=0-")[6:-1])
            return (206, data[start:]) if start else (200, data)

        return get

    def files(*_: Any) -> tuple[int, Any]:
        data = tars[names[int(edge.query["datablock"].removeprefix("block-"))]]
        with tarfile.open(fileobj=io.BytesIO(data)) as bag:
            found = {one.name.partition("/data/")[2]: bag.extractfile(one) for one in bag if "/data/" in one.name}
            read = {path: file.read() for path, file in found.items() if file is not None}
        listed = [{"path": p, "size": len(d), "chk": hashlib.sha256(d).hexdigest()} for p, d in read.items()]
        return 200, {"items": listed, "next": ""}

    edge.answers |= {"POST /data/v1/retrievals": create, f"GET {AT}/files": files}
    edge.answers |= {f"GET /s3/{'tar' if len(tars) == 1 else name}": reads(tars[name]) for name in names}


FILES = {"one": b"1" * 3000, "sub/ü %.txt": b"two", "empty": b""}


def tree(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_download_goes_on_where_the_connection_broke(
    edge: Edge, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored(edge, bag(FILES))
    edge.cut = [2000, 0, 3000]
    assert run(["retrieve", PID, "--to", str(tmp_path), "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)
    assert (counts["written"], counts["unchanged"], counts["bytes"]) == (3, 0, 3003)
    assert tree(tmp_path) == FILES
    assert len([1 for asked, _ in edge.seen if asked == "GET /s3/tar"]) == 4


def test_a_kept_tar_is_enough(edge: Edge, tmp_path: Path) -> None:
    stored(edge, bag(FILES))
    assert run(["retrieve", PID, "--to", str(tmp_path), "--keep-tars"]) == 0
    assert tree(tmp_path) == FILES | {"a-b_0.tar": bag(FILES)}
    edge.answers["GET /s3/tar"] = (404, b"")  # the kept tar is enough
    assert run(["retrieve", PID, "--to", str(tmp_path), "--keep-tars"]) == 0


def test_what_is_not_what_was_archived_is_not_unpacked(
    edge: Edge, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored(edge, bag(FILES))
    edge.answers["GET /s3/tar"] = (200, b"x" * len(bag(FILES)))
    assert run(["retrieve", PID, "--to", str(tmp_path)]) == 1
    assert "is not what it should be" in capsys.readouterr().err
    edge.answers["GET /s3/tar"] = (404, b"")
    assert run(["retrieve", PID, "--to", str(tmp_path)]) == 1
    assert list(tmp_path.iterdir()) == []


def test_other_files_stay_unless_forced(edge: Edge, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored(edge, bag(FILES))
    (tmp_path / "one").write_bytes(b"mine")
    (tmp_path / "empty").write_bytes(b"")
    assert run(["retrieve", PID, "--to", str(tmp_path)]) == 1
    assert f"with other content (--force replaces): {tmp_path / 'one'}" in capsys.readouterr().err
    kept = {"one": b"mine", "empty": b""}
    assert {name: data for name, data in tree(tmp_path).items() if name in FILES} == kept
    assert run(["retrieve", PID, "--to", str(tmp_path), "--force", "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)
    assert (counts["written"], counts["unchanged"]) == (2, 1)
    assert tree(tmp_path) == FILES


def many(count: int = 5) -> dict[str, bytes]:
    return {
        f"a-b_{n}.tar": bag({f"{n}/one": bytes([n]) * 3000, f"{n}/x.tar.part": b"ours"}, f"a-b_{n}")
        for n in range(count)
    }


def files_of(count: int = 5) -> dict[str, bytes]:
    return {f"{n}/one": bytes([n]) * 3000 for n in range(count)} | {f"{n}/x.tar.part": b"ours" for n in range(count)}


def asked(edge: Edge, ending: str) -> int:
    return len([what for what, _ in edge.seen if what.startswith("GET") and what.endswith(ending)])


def test_addresses_come_in_pages_and_each_is_asked_for_once(
    edge: Edge, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored_all(edge, many())
    assert run(["retrieve", PID, "--to", str(tmp_path), "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)
    assert (counts["written"], counts["datablocks"], counts["bytes"]) == (10, 5, 5 * 3004)
    assert tree(tmp_path) == files_of()
    assert (asked(edge, "/urls"), asked(edge, ".tar")) == (3, 5)
    assert run(["retrieve", PID, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["datablocks"]) == 5


def test_an_address_that_has_expired_is_signed_again(edge: Edge, tmp_path: Path) -> None:
    """One page of them, and only then."""
    stored_all(edge, many())
    expired, get = ["a-b_2.tar"], edge.answers["GET /s3/a-b_2.tar"]
    edge.answers["GET /s3/a-b_2.tar"] = lambda *given: (403, b"") if expired and expired.pop() else get(*given)
    assert run(["retrieve", PID, "--to", str(tmp_path)]) == 0
    assert tree(tmp_path) == files_of()
    assert asked(edge, "/urls") == 4


def test_what_is_unpacked_already_is_not_downloaded_again(
    edge: Edge, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A call that was broken off goes on with the datablock that it was at."""
    stored_all(edge, many())
    get = edge.answers["GET /s3/a-b_3.tar"]
    edge.answers["GET /s3/a-b_3.tar"] = (404, b"")
    assert run(["retrieve", PID, "--to", str(tmp_path)]) == 1
    assert tree(tmp_path) == {path: data for path, data in files_of().items() if path[0] < "3"}
    edge.answers["GET /s3/a-b_3.tar"] = get
    edge.seen.clear()
    capsys.readouterr()
    assert run(["retrieve", PID, "--to", str(tmp_path), "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)
    assert (counts["written"], counts["unchanged"], counts["bytes"]) == (4, 6, 5 * 3004)
    assert asked(edge, ".tar") == 2
    assert tree(tmp_path) == files_of()


@pytest.mark.parametrize("options", [[], ["--keep-tars"]])
def test_two_retrievals_into_one_folder(edge: Edge, tmp_path: Path, options: list[str]) -> None:
    """Both download, both unpack: neither meets what the other has half written."""
    tars = many(2)
    stored_all(edge, tars)
    both = threading.Barrier(2, timeout=30)
    get = edge.answers["GET /s3/a-b_0.tar"]

    def together(*given: Any) -> Any:
        both.wait()
        return get(*given)

    edge.answers["GET /s3/a-b_0.tar"] = together
    with ThreadPoolExecutor(2) as pool:
        codes = list(pool.map(run, [["retrieve", PID, "--to", str(tmp_path), *options]] * 2))
    assert codes == [0, 0]
    assert tree(tmp_path) == files_of(2) | (tars if options else {})


def test_what_another_call_unpacks_meanwhile_is_no_other_content(
    edge: Edge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes between the look at what is missing and the look at what is in the way."""
    stored(edge, bag(FILES))
    exists = os.path.lexists

    def late(path: Any) -> bool:
        for name, data in FILES.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(data)
        return exists(path)

    monkeypatch.setattr(os.path, "lexists", late)
    assert run(["retrieve", PID, "--to", str(tmp_path)]) == 0
    assert tree(tmp_path) == FILES


@pytest.mark.parametrize("named", [False, True])
def test_a_full_disk_leaves_nothing_half(
    edge: Edge,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    named: bool,
) -> None:
    """At the tar, and at a file: wherever the disk refuses. `named`: on a file system that has no files without names."""
    stored(edge, bag(FILES))
    write, room = partial_file.PartialFile.write, [0]

    def refuse(self: partial_file.PartialFile, data: bytes) -> None:
        write(self, data[: max(0, room[0])])
        room[0] -= len(data)
        if room[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(partial_file.PartialFile, "write", refuse)
    if named:
        monkeypatch.setattr(partial_file, "DESCRIPTORS", tmp_path / "absent")
    for space in (5000, len(bag(FILES)) + 1000):
        room[0] = space
        assert run(["retrieve", PID, "--to", str(tmp_path / "to"), "--keep-tars"]) == 1
        assert "No space left on device" in capsys.readouterr().err
        assert [path for path in (tmp_path / "to").iterdir() if not path.is_dir()] == []
    room[0] = 10**9
    assert run(["retrieve", PID, "--to", str(tmp_path / "to")]) == 0
    assert tree(tmp_path / "to") == FILES


def test_names_that_the_disk_takes_for_one_are_not_merged(
    edge: Edge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"a.txt": b"1", "cafe\u0301": b"2"}, {"A.txt": b"3", "caf\u00e9": b"4"}
    stored_all(edge, {f"a-b_{n}.tar": bag(one, f"a-b_{n}") for n, one in enumerate(files)})
    assert run(["retrieve", PID, "--to", str(tmp_path / "exact")]) == 0
    assert tree(tmp_path / "exact") == files[0] | files[1]
    monkeypatch.setattr(file_names, "merges", lambda _: True)
    assert run(["retrieve", PID, "--to", str(tmp_path / "merging"), "--force"]) == 1
    assert "'a.txt' and 'A.txt' are two files of the dataset" in capsys.readouterr().err
    assert tree(tmp_path / "merging") == files[0], "the first is as it was"


def _unpack(source: Path, folder: Path, force: bool) -> None:
    with source.open("rb") as file:
        unpack(file, "b", folder, force=force, reserved=set(), names=FileNames(folder))


def _link() -> tarfile.TarInfo:
    made = tarfile.TarInfo("b/data/x")
    made.type, made.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return made


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"b/data/../../x": b""}, "not unpacked"),
        ({"b/data//etc/x": b""}, "not unpacked"),
        ({"b/data/out/x": b""}, "not unpacked"),
        ({"b/data/x": _link()}, "not a plain file"),
        ({"b/data/unsaid": b"1", "b/data/x": b""}, "does not name 'unsaid'"),
        ({"b/data/x": b"changed"}, "the manifest says"),
        ({}, "'x' is missing"),
    ],
)
def test_nothing_leaves_the_folder_and_nothing_is_believed(tmp_path: Path, members: dict[str, Any], why: str) -> None:
    folder, source = tmp_path / "to", tmp_path / "b.tar"
    (folder).mkdir()
    (tmp_path / "elsewhere").mkdir()
    (folder / "out").symlink_to(tmp_path / "elsewhere")
    paths = [name.removeprefix("b/data/") for name in members if "unsaid" not in name] or ["x"]
    said = "".join(f"{hashlib.sha256(b'').hexdigest()}  data/{path}\n" for path in paths)
    source.write_bytes(tar(members | {"b/manifest-sha256.txt": said.encode()}))
    with pytest.raises(FailedError, match=why):
        _unpack(source, folder, force=True)
    assert [path.name for path in folder.iterdir()] == ["out"]
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_no_datablock_at_all(tmp_path: Path) -> None:
    source = tmp_path / "b.tar"
    for data, why in ((b"nonsense" * 200, "is not a datablock"), (tar({"b/x": b""}), "no manifest")):
        source.write_bytes(data)
        with pytest.raises(FailedError, match=why):
            _unpack(source, tmp_path, force=False)


def test_retrieve_without_a_folder_and_without_success(
    edge: Edge, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored(edge, bag(FILES))
    assert run(["retrieve", PID, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["datablocks"][0]["url"] == f"{edge.url}/s3/tar"
    assert run(["retrieve", PID]) == 0
    out = capsys.readouterr().out
    assert "a-b_0.tar" in out
    assert "/s3/tar" not in out, "an address is a secret"
    stored(edge, b"", status="failed", error="[b]tape broke[/b]")
    assert run(["retrieve", PID, "--to", str(tmp_path / "new")]) == 1
    assert "[b]tape broke[/b]" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    assert run(["retrieve", PID, "--no-wait"]) == 0
    stored(edge, bag(FILES), name="../up.tar")
    assert run(["retrieve", PID, "--to", str(tmp_path)]) == 1
    assert list(tmp_path.iterdir()) == []
