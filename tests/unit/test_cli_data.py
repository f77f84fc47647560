"""`headrace archive`, `datasets` against an HTTP server with set answers: what goes wrong, and what then is said."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from shared.client import uploads
from shared.client.cli.__main__ import run
from shared.client.cli.register import difference
from shared.client.errors import UsageError
from shared.client.files import File, find, portions
from tests.support.data_edge import edge, facility
from tests.support.facility import AT, PID, Edge, Facility

__all__ = ["edge", "facility"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "in"
    (made / "sub").mkdir(parents=True)
    (made / "one").write_bytes(b"1" * 10)
    (made / "sub" / "two").write_bytes(b"")
    return made


# -- which files


def test_files_are_called_by_their_path_in_the_folder(folder: Path, tmp_path: Path) -> None:
    (folder / "link").symlink_to(folder / "one")
    (folder / "around").symlink_to(folder)
    (tmp_path / "alone").write_bytes(b"a")
    files, links = find([folder, tmp_path / "alone"])
    assert [(file.path, file.size) for file in files] == [("alone", 1), ("one", 10), ("sub/two", 0)]
    assert sorted(links) == [str(folder / "around"), str(folder / "link")]


def test_what_cannot_be_a_dataset_is_wrong_usage(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "one").mkdir(parents=True)
    (other / "one" / "x").write_bytes(b"")
    link = tmp_path / "link"
    link.symlink_to(folder)
    for given, words in (
        ([folder, folder / "one"], [str(folder / "one"), "'one'"]),
        ([folder, other], [str(folder / "one"), str(other / "one" / "x")]),
        ([link], ["symbolic link"]),
        ([tmp_path / "absent"], ["absent", "No such file"]),
        ([other / "empty"], ["empty"]),
    ):
        (other / "empty").mkdir(exist_ok=True)
        with pytest.raises(UsageError) as refused:
            find(given)
        assert all(word in str(refused.value) for word in words), str(refused.value)
    os.mkfifo(folder / "pipe")
    with pytest.raises(UsageError, match="pipe is not a file"):
        find([folder])


def test_portions_have_a_thousand_files_and_fit_into_a_message() -> None:
    short = [File(Path("x"), f"{number:04}", 0) for number in range(2500)]
    assert [len(one) for one in portions(short)] == [1000, 1000, 500]
    long = [File(Path("x"), "ü" * 600, 0)] * 200
    assert [len(one) for one in portions(long)] == [85, 85, 30]
    assert list(portions([])) == []


# -- archive


def test_archive_from_the_first_question_to_the_last(
    edge: Edge, facility: Facility, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["archive", PID, str(folder), "--group", "m13", "--json"]) == 0
    received = json.loads(capsys.readouterr().out)
    assert received["dataset"]["datasetlifecycle"]["archiveStatusMessage"] == "datasetOnArchiveDisk"
    assert (received["already"], received["links"]) == (False, [])
    assert edge.asked("POST /data/v1/datasets") == [{"pid": PID, "ownerGroup": "m13", "sourceFolder": str(folder)}]
    added = edge.asked("POST /data/v1/origdatablocks")
    assert [one["path"] for one in added[0]["dataFileList"]] == ["one", "sub/two"]
    assert added[0]["dataFileList"][0]["chk"] == hashlib.sha256(b"1" * 10).hexdigest()
    assert facility.objects == {"one": b"1" * 10, "sub/two": b""}


def test_an_upload_is_tried_again_but_not_for_ever(
    edge: Edge, facility: Facility, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    script = iter([503, 500])
    put = facility.put

    def moody(path: str) -> Any:
        return lambda headers, body: (next(script, 0) or 200, b"") if path == "one" else put(path)(headers, body)

    monkeypatch.setattr(facility, "put", moody)
    assert run(["archive", PID, str(folder), "--json"]) == 0
    assert len([asked for asked, _ in edge.seen if asked == "PUT /s3/one"]) == 3
    signed = len(edge.asked("POST /archiver/api/v1/upload/urls"))
    facility.forget()
    script = iter([403])  # the address has expired: another is asked for, once
    assert run(["archive", PID, str(folder), "--json"]) == 0
    assert len([asked for asked, _ in edge.seen if asked == "PUT /s3/one"]) == 3 + 2
    assert len(edge.asked("POST /archiver/api/v1/upload/urls")) == signed + 2
    facility.forget()
    capsys.readouterr()
    script = iter([403, 403])
    assert run(["archive", PID, str(folder)]) == 1
    assert "one was not taken: object storage answered 403" in capsys.readouterr().err
    script = iter([500] * uploads.TRIES)
    assert run(["archive", PID, str(folder)]) == 1
    assert "answered 500" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"1" * 11, b"1" * 9, b"2" * 10])
def test_a_file_that_changes_meanwhile_is_an_error_and_then_registered_anew(
    edge: Edge, facility: Facility, folder: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    """Nothing of it arrives as an object: it would be taken for the file."""
    sign = facility.sign

    def change(headers: Any, body: bytes) -> tuple[int, Any]:
        (folder / "one").write_bytes(content)
        return sign(headers, body)

    edge.answers["POST /archiver/api/v1/upload/urls"] = change
    assert run(["archive", PID, str(folder)]) == 1
    assert "has changed while it was being archived" in capsys.readouterr().err
    assert "one" not in facility.objects
    assert run(["archive", PID, str(folder), "--json"]) == 0
    assert facility.objects == {"one": content, "sub/two": b""}
    assert facility.registered["one"]["chk"] == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("sent", range(6))
def test_an_upload_goes_on_with_the_file_at_which_it_was_broken_off(
    edge: Edge, facility: Facility, tmp_path: Path, capsys: pytest.CaptureFixture[str], sent: int
) -> None:
    """Between any two files. Each is sent once, in the end all are there."""
    source = {f"f{n}": bytes([65 + n]) * n for n in range(5)}
    for name, data in source.items():
        (tmp_path / name).write_bytes(data)
    sign, signed = facility.sign, 0

    def break_off(headers: Any, body: bytes) -> tuple[int, Any]:
        """The first call has `sent` files accepted, and ends."""
        nonlocal signed
        signed += 1
        answer = sign(headers, body)
        if signed == 1:
            for path in sorted(source)[sent:]:
                edge.answers[f"PUT /s3/{path}"] = (400, b"")
        return answer

    edge.answers["POST /archiver/api/v1/upload/urls"] = break_off
    assert run(["archive", PID, str(tmp_path)]) == (0 if sent == 5 else 1)
    before = set(facility.objects)
    edge.seen.clear()
    capsys.readouterr()
    facility.status = "filesNotReadyYet"
    assert run(["archive", PID, str(tmp_path), "--json"]) == 0
    assert facility.objects == source
    again = {asked.removeprefix("PUT /s3/") for asked, _ in edge.seen if asked.startswith("PUT")}
    assert again == source.keys() - before
    assert json.loads(capsys.readouterr().out)["sent"] == len(again)
    assert not [asked for asked, _ in edge.seen if asked == "POST /data/v1/origdatablocks"]


def test_a_dataset_with_other_files_is_left_alone_and_can_be_abandoned(
    edge: Edge, facility: Facility, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["archive", PID, str(folder), "--json"]) == 0
    facility.status, before = "filesNotReadyYet", dict(facility.registered)
    (folder / "one").rename(folder / "uno")
    capsys.readouterr()
    assert run(["archive", PID, str(folder)]) == 1
    err = capsys.readouterr().err
    assert "it has a file 'one' too" in err
    assert f"headrace dataset abandon {PID}" in " ".join(err.split())
    assert facility.registered == before
    gone = {"id": "d", "pid": PID, "size": 10, "numberOfFiles": 2}
    edge.answers["POST /archiver/api/v1/datasets/a%2Fb/abandon"] = (200, gone)
    for _ in range(2):
        assert run(["dataset", "abandon", PID, "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == gone
        facility.status = ""
    assert edge.asked("POST /archiver/api/v1/datasets/a%2Fb/abandon") == [{"id": "d"}, {}]


def test_missing_files_count_only_if_they_are_of_this_try(
    edge: Edge, facility: Facility, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A dataset is packed from `missingFilesError` on: its datablocks come, then its status."""
    facility.status = "missingFilesError"
    looks = iter([(2, 0), (3, 1)])

    def look(*_: Any) -> tuple[int, Any]:
        if finished and facility.status == "missingFilesError":
            facility.version, facility.blocks = next(looks, (4, 1))
            facility.status = "datasetCreated" if facility.version == 4 else facility.status
        return 200, facility.received()

    def finish(*_: Any) -> tuple[int, Any]:
        finished.append(True)
        return 200, facility.received() | {"version": 2}

    finished: list[bool] = []
    edge.answers |= {f"GET {AT}": look, "POST /archiver/api/v1/upload/finished": finish}
    assert run(["archive", PID, str(folder), "--json"]) == 0
    facility.status, finished[:], looks = "missingFilesError", [], iter([(3, 0)])
    facility.version, facility.reasons = 1, ["post_upload is failed", "user error: one was not uploaded"]
    assert run(["archive", PID, str(folder)]) == 1
    assert "one was not uploaded" in capsys.readouterr().err


def test_a_packing_that_died_is_not_waited_for(
    edge: Edge, facility: Facility, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edge.answers["POST /archiver/api/v1/upload/finished"] = lambda *_: (200, facility.received())
    facility.reasons = ["post_upload is failed: it ended at register_datablocks", "system error: disk"]
    assert run(["archive", PID, str(folder)]) == 1
    assert "system error: disk" in capsys.readouterr().err


def test_a_job_that_is_on_its_way_already_is_waited_for(
    edge: Edge, facility: Facility, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def busy(*_: Any) -> tuple[int, Any]:
        facility.status = "scheduleArchiveJobFailed" if failing else "datasetOnArchiveDisk"
        return 409, {"detail": "it is being worked on already", "code": "failed_precondition"}

    failing = False
    edge.answers["POST /data/v1/jobs"] = busy
    assert run(["archive", PID, str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["job"] is None
    facility.forget()
    edge.answers["POST /data/v1/jobs"] = lambda *_: (201, {"id": "j"})
    edge.answers["GET /data/v1/jobs/j"] = (
        200,
        {"jobStatusMessage": "finishedUnsuccessful", "message": "tape"},
    )
    assert run(["archive", PID, str(folder)]) == 1
    assert "could not be archived: tape" in capsys.readouterr().err


def test_an_edge_that_is_away_for_a_moment_ends_nothing(edge: Edge, facility: Facility, folder: Path) -> None:
    script = iter([503, 429, 0])
    answer = edge.answers["POST /data/v1/origdatablocks"]
    edge.answers["POST /data/v1/origdatablocks"] = lambda headers, body: (
        (status, {"detail": "away"}) if (status := next(script)) else answer(headers, body)
    )
    assert run(["archive", PID, str(folder), "--json"]) == 0


def test_the_first_difference_is_named() -> None:
    files = [File(Path("x"), "a", 1, "11"), File(Path("x"), "b", 1, "22")]
    a, b = ({"path": "a", "size": 1, "chk": "11"}, {"path": "b", "size": 1, "chk": "22"})
    assert difference([a, b], files) is None
    assert difference([a], files) == "it has no file 'b'"
    assert difference([a, b | {"chk": "33"}], files) == "its 'b' has other content"
    assert difference([a, b, b | {"path": "c"}], files) == "it has a file 'c' too"


def test_datasets_are_listed_and_explained(edge: Edge, facility: Facility, capsys: pytest.CaptureFixture[str]) -> None:
    facility.status, facility.reasons = "started", ["move_datablocks_to_lts waits for room"]
    edge.answers["GET /data/v1/datasets"] = (200, {"items": [facility.received()], "next": "more"})
    assert run(["datasets", "--size", "1"]) == 0
    out, err = capsys.readouterr()
    assert PID in out
    assert "--token more" in err
    assert run(["dataset", PID]) == 0
    out = capsys.readouterr().out
    assert "waits for room" in out
    assert "started" in out
    assert run(["dataset", PID, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["reasons"] == facility.reasons


def test_datasets_are_searched_and_a_dataset_shows_its_files(
    edge: Edge, facility: Facility, capsys: pytest.CaptureFixture[str]
) -> None:
    facility.status = "filesNotReadyYet"
    facility.registered = {"a/b.fits": {"path": "a/b.fits", "size": 2048, "chk": "c" * 64}}

    def listed(*_: Any) -> tuple[int, Any]:
        asked.append(dict(edge.query))
        return 200, {"items": [facility.received()], "next": ""}

    asked: list[dict[str, str]] = []
    edge.answers["GET /data/v1/datasets"] = listed
    assert run(["datasets", "m13", "--status", "started", "--group", "g", "--damaged"]) == 0
    assert run(["datasets"]) == 0
    assert asked == [
        {"search": "m13", "status": "started", "group": "g", "damaged": "true", "size": "100"},
        {"size": "100"},
    ]
    capsys.readouterr()
    assert run(["dataset", PID, "--files"]) == 0
    shown = capsys.readouterr().out
    assert f"a/b.fits  2.0 KiB  not uploaded yet  {'c' * 64}" in shown
    stored = facility.registered["a/b.fits"] | {"datablock": "the-datablock", "start": 512}
    edge.answers[f"GET {AT}/files"] = (200, {"items": [stored], "next": ""})
    facility.blocks = 1
    assert run(["dataset", PID, "--files", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == [stored]


@pytest.mark.parametrize(
    "arguments",
    [["archive", PID], ["archive"], ["archive", PID, "/no/such/file"], ["retrieve", PID, "--force"],
     ["retrieve", PID, "--keep-tars"], ["retrieve", PID, "--to", "x", "--no-wait"], ["retrieve", PID, "--to", __file__]],
)  # fmt: skip
def test_wrong_usage_is_2_and_asks_nothing(
    edge: Edge, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    assert capsys.readouterr().err
    assert edge.seen == []
