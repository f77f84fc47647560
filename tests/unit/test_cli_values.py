"""The commands about values against an HTTP server with set answers."""

import errno
import hashlib
import io
import json
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from shared.client import downloads, partial_file
from shared.client.cli.__main__ import run
from shared.contracts.digest import format_digest
from shared.runtime.retry import Backoff
from tests.support.cli_edge import Edge, serving

SESSION = "019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f"
ROOT = "/compute/v1"
VALUE = bytes(range(256)) * 3000


@pytest.fixture
def edge(monkeypatch: pytest.MonkeyPatch) -> Iterator[Edge]:
    monkeypatch.setattr(downloads, "BACKOFF", Backoff(first=0))
    with serving(monkeypatch) as made:
        yield made


def result(name: str = "r", status: str = "created", value: bytes | None = None, **more: Any) -> dict[str, Any]:
    checksum = "" if value is None else hashlib.sha256(value).hexdigest()
    size = 0 if value is None else len(value)
    received = {"id": name, "session": SESSION, "name": "", "status": status, "size": size, "checksum": checksum}
    return received | {"opaque": "", "owner_task": None} | more


def document(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_upload_makes_a_result_of_each_file(edge: Edge, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = {"a.fits": b"a" * 300_000, "b.fits": b""}
    for name, value in values.items():
        (tmp_path / name).write_bytes(value)
    edge.answers[f"POST {ROOT}/sessions/{SESSION}/results"] = (201, {"results": [result("1"), result("2")]})
    for name, value in zip("12", values.values(), strict=True):
        edge.answers[f"GET {ROOT}/results/{name}"] = (200, result(name))
        edge.answers[f"PUT {ROOT}/results/{name}/data"] = (200, result(name, "completed", value))
    assert run(["upload", *(str(tmp_path / name) for name in values), "--session", SESSION, "--json"]) == 0
    assert [one["id"] for one in document(capsys)["results"]] == ["1", "2"]
    assert json.loads(edge.seen[0][2]) == {"results": [{"name": name} for name in values]}
    put = [n for n, (asked, *_) in enumerate(edge.seen) if asked.startswith("PUT")]
    assert [edge.seen[n][2] for n in put] == list(values.values())
    for n, value in zip(put, values.values(), strict=True):
        assert edge.headers[n]["Repr-Digest"] == format_digest(hashlib.sha256(value).hexdigest())


def test_upload_from_a_pipe_is_compared_with_what_arrived(
    edge: Edge, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for arrived, code in ((VALUE, 0), (VALUE[1:], 1)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(VALUE)))
        edge.answers[f"PUT {ROOT}/results/r/data"] = (200, result("r", "completed", arrived))
        assert run(["upload", "-", "--result", "r", "--json"]) == code
        assert edge.seen[-1][2] == VALUE
    assert "what arrived hashes to" in capsys.readouterr().err


def test_upload_whose_answer_was_lost(edge: Edge, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is sent again if it was not taken, and not if it was."""
    (tmp_path / "file").write_bytes(VALUE)
    states = iter([result(), result(), result("r", "completed", VALUE)])
    edge.answers[f"GET {ROOT}/results/r"] = lambda _: (200, next(states))
    edge.answers[f"PUT {ROOT}/results/r/data"] = (504, {"detail": "no answer in time"})
    assert run(["upload", str(tmp_path / "file"), "--result", "r", "--json"]) == 0
    assert document(capsys)["status"] == "completed"
    assert [asked.split()[0] for asked, *_ in edge.seen] == ["GET", "PUT", "GET", "PUT", "GET"]
    edge.seen.clear()
    edge.answers[f"GET {ROOT}/results/r"] = (200, result(status="aborted"))
    assert run(["upload", str(tmp_path / "file"), "--result", "r"]) == 1
    assert "aborted" in capsys.readouterr().err
    edge.answers[f"GET {ROOT}/results/r"] = (200, result())
    edge.answers[f"PUT {ROOT}/results/r/data"] = (409, {"detail": "somebody was first"})
    assert run(["upload", str(tmp_path / "file"), "--result", "r"]) == 1
    assert [asked.split()[0] for asked, *_ in edge.seen] == ["GET", "GET", "PUT"]


def test_download_to_a_file_and_to_a_pipe(
    edge: Edge, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    edge.answers[f"GET {ROOT}/results/r"] = (200, result("r", "completed", VALUE))
    edge.answers[f"GET {ROOT}/results/r/data"] = (200, VALUE)
    file = tmp_path / "value"
    assert run(["download", "r", "-o", str(file), "--json"]) == 0
    assert file.read_bytes() == VALUE
    assert json.loads(capfdbinary.readouterr().out) == {"result": "r", "file": str(file), "bytes": len(VALUE)}
    assert edge.headers[-1]["If-Range"] == f'"{hashlib.sha256(VALUE).hexdigest()}"'
    assert run(["download", "r", "-o", str(tmp_path / "no" / "folder")]) == 2
    assert run(["download", "missing", "-o", str(tmp_path / "other")]) == 1
    edge.answers[f"GET {ROOT}/results/open"] = (200, result("open"))
    assert run(["download", "open", "-o", str(tmp_path / "other")]) == 1
    assert list(tmp_path.iterdir()) == [file]


def test_a_download_goes_on_where_it_was_broken_off(
    edge: Edge, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edge.answers[f"GET {ROOT}/results/r"] = (200, result("r", "completed", VALUE))
    cut = [VALUE[:1000], VALUE]
    edge.answers[f"GET {ROOT}/results/r/data"] = lambda _: (200, cut.pop(0) if len(cut) > 1 else cut[0])
    file = tmp_path / "value"
    assert run(["download", "r", "-o", str(file)]) == 0
    assert file.read_bytes() == VALUE
    asked = [headers.get("Range") for headers in edge.headers]
    assert asked == [None, None, "bytes=1000-"]
    # What lies there from an earlier call is not what it should be.
    edge.answers[f"GET {ROOT}/results/r/data"] = (200, VALUE[::-1])
    (tmp_path / "other.r.part").write_bytes(b"?" * len(VALUE))
    assert run(["download", "r", "-o", str(tmp_path / "other")]) == 1
    assert "hashes to" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [file]


def test_two_downloads_of_one_result_to_one_place(edge: Edge, tmp_path: Path) -> None:
    """Both arrive, though only one can go on with what lies there."""
    edge.answers[f"GET {ROOT}/results/r"] = (200, result("r", "completed", VALUE))
    both = threading.Barrier(2, timeout=30)

    def together(headers: Any) -> Any:
        both.wait()
        return 200, VALUE

    edge.answers[f"GET {ROOT}/results/r/data"] = together
    with ThreadPoolExecutor(2) as pool:
        codes = list(pool.map(run, [["download", "r", "-o", str(tmp_path / "value")]] * 2))
    assert codes == [0, 0]
    assert (tmp_path / "value").read_bytes() == VALUE
    assert [path.name for path in tmp_path.iterdir()] == ["value"]


def test_a_download_to_a_full_disk_leaves_nothing(
    edge: Edge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    edge.answers[f"GET {ROOT}/results/r"] = (200, result("r", "completed", VALUE))
    edge.answers[f"GET {ROOT}/results/r/data"] = (200, VALUE)
    write = partial_file.PartialFile.write

    def refuse(self: partial_file.PartialFile, data: bytes) -> None:
        write(self, data[:1000])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(partial_file.PartialFile, "write", refuse)
        assert run(["download", "r", "-o", str(tmp_path / "value")]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert run(["download", "r", "-o", str(tmp_path / "value")]) == 0


def test_import_makes_results_or_takes_those_named(edge: Edge, capsys: pytest.CaptureFixture[str]) -> None:
    new, named = "019a6f2e-0000-7000-8000-000000000001", "019a6f2e-0000-7000-8000-000000000002"
    path = f"{ROOT}/sessions/{SESSION}/results"
    edge.answers[f"POST {path}"] = (201, {"results": [result(new)]})
    edge.answers[f"POST {path}/import"] = (200, {"results": [result(new), result(named)]})
    edge.answers[f"POST {path}/delete"] = (200, {"results": []})
    asked = ["import", SESSION, "shared/x=1/flat.fits", f"{named}=shared/dark.fits"]
    assert run([*asked, "--json"]) == 0
    assert [one["id"] for one in document(capsys)["results"]] == [new, named]
    bodies = [json.loads(body) for _, _, body, _ in edge.seen]
    assert bodies[0] == {"results": [{"name": "flat.fits"}]}
    pairs = [(new, "shared/x=1/flat.fits"), (named, "shared/dark.fits")]
    assert bodies[1] == {"objects": [{"result": result, "object": key} for result, key in pairs]}
    edge.answers[f"POST {path}/import"] = (404, {"detail": "there is no object", "field": "objects[0].object"})
    assert run(asked) == 1
    assert "objects[0].object" in capsys.readouterr().err
    assert json.loads(edge.seen[-1][2]) == {"results": [new]}  # what was made for it is taken back


def test_a_result_is_shown_and_its_value_deleted(edge: Edge, capsys: pytest.CaptureFixture[str]) -> None:
    edge.answers[f"GET {ROOT}/results/r"] = (200, result("r", "completed", b"x", opaque="inline:r"))
    edge.answers[f"POST {ROOT}/sessions/{SESSION}/results/delete"] = (200, {"results": [result("r", "deleted")]})
    assert run(["result", "r"]) == 0
    shown = capsys.readouterr().out
    assert "inline:r" in shown
    assert hashlib.sha256(b"x").hexdigest() in shown
    assert run(["delete-data", "r", "--json"]) == 0
    assert document(capsys)["results"][0]["status"] == "deleted"
    assert json.loads(edge.seen[-1][2]) == {"results": ["r"]}


def test_waiting_goes_on_until_all_have_ended(edge: Edge, capsys: pytest.CaptureFixture[str]) -> None:
    states: dict[str, str] = {}

    def answer(_: Any) -> tuple[int, Any]:
        asked = json.loads(edge.seen[-1][2])
        received = {name: states.get(name, "created") for name in asked["results"]}
        left = [name for name, state in received.items() if state == "created"]
        states.update({"a": "completed"} if "a" not in states else {"b": end})
        return 200, {"done": not left or (asked["any"] and len(left) < len(received)), "states": received, "open": left}

    edge.answers[f"POST {ROOT}/results/wait"] = answer
    for end, code in (("completed", 0), ("aborted", 1)):
        states.clear()
        assert run(["wait", "a", "b", "--json"]) == code
        out, err = capsys.readouterr()
        assert json.loads(out) == {"done": True, "states": {"a": "completed", "b": end}, "open": []}
        assert ("will have no value" in err) == (code == 1)
    states.clear()
    assert run(["wait", "a", "b", "--any", "--json"]) == 0
    assert document(capsys)["open"] == ["b"]
    states.clear()
    states["a"] = "created"
    end = "created"
    assert run(["wait", "a", "b", "--timeout", "0"]) == 1
    assert "2 of 2 results are still open" in capsys.readouterr().err
