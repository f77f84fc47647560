"""Which names files may have: one rule for the command line and the server, and all that it refuses at once."""

from pathlib import Path

import pytest

from services.archiver.catalogue.datasets import checked_files
from shared.client.cli.file_names import folded
from shared.client.errors import UsageError
from shared.client.files import find
from shared.contracts.catalogue import LONGEST_PATH, DataFile, OrigDatablockCreate
from shared.contracts.errors import Invalid
from shared.objects.layout import check_key, in_words, path_fault
from tests.support.file_names import ORDINARY

HARMFUL = {
    "": "is not a name",
    "/": "is not a name",
    "/a": "is not a name",
    "a/": "is not a name",
    "a//b": "is not a name",
    ".": "is not a name",
    "..": "is not a name",
    "../a": "is not a name",
    "a/../b": "is not a name",
    "a/./b": "is not a name",
    "a\\b": "backslash (U+005C)",
    "a\nb": "control character (U+000A)",
    "a\0b": "control character (U+0000)",
    "\x7f": "control character (U+007F)",
    "a\x85b": "control character (U+0085)",
    "\x9b31m": "control character (U+009B)",
    "\u202egpj.exe": "direction of text",
    "a\u2066b": "direction of text",
    "a\u2028b": "line end",
    "a\u2029b": "line end",
    "caf\udce9": "not UTF-8",
    "\ud800": "not UTF-8",
    "a\uffff": "no XML",
    "n" * 256: "at most 255 bytes",
    "ü" * 128: "at most 255 bytes",
    "/".join(["x" * 250] * 4): "1003 bytes",
    "/".join(["ü" * 100] * 6): "1205 bytes",
}


@pytest.mark.parametrize("path", ORDINARY)
def test_ordinary_names(path: str, tmp_path: Path) -> None:
    assert path_fault(path) == ""
    check_key(path)
    (tmp_path / path).parent.mkdir(exist_ok=True, parents=True)
    (tmp_path / path).write_bytes(b"x")
    assert [file.path for file in find([tmp_path])[0]] == [path]


@pytest.mark.parametrize(("path", "why"), HARMFUL.items(), ids=[repr(path)[:20] for path in HARMFUL])
def test_names_that_harm(path: str, why: str) -> None:
    assert why in path_fault(path)


def test_the_limit_is_one_of_bytes() -> None:
    segments = "/".join(["ü" * 100] * 5)  # 1,004 bytes, 504 characters
    longest = segments.encode()[: LONGEST_PATH - 1].decode()
    assert path_fault(longest) == ""
    assert path_fault(longest + "xx") != ""


def test_all_refused_names_of_a_request_come_at_once() -> None:
    paths = ["good", *(f"bad\n{number:02}" for number in range(30)), "good"]
    asked = OrigDatablockCreate("a/b", [DataFile(path, 0, "0" * 64) for path in paths])
    with pytest.raises(Invalid) as refused:
        checked_files(asked)
    assert refused.value.field == "dataFileList[1].path"
    assert all(repr(path) in refused.value.message for path in paths[1:21])
    assert "and 11 more" in refused.value.message, "30 names, and the one that stands twice"
    assert repr(paths[21]) not in refused.value.message


def test_all_refused_names_of_a_folder_come_at_once(tmp_path: Path) -> None:
    for name in ("one\n", "two\x1b", "good", "\u202ethree"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "caf\udce9").write_bytes(b"")
    with pytest.raises(UsageError) as refused:
        find([tmp_path])
    received = str(refused.value)
    assert all(word in received for word in ("one\\n", "two\\x1b", "\\u202ethree", "caf\\udce9"))
    assert "good" not in received


def test_few_are_listed_whole() -> None:
    assert in_words(["a", "b"]) == "a; b"
    assert in_words(["a", "b", "c"], 2) == "a; b; and 1 more"


@pytest.mark.parametrize(("one", "other"), [("A.txt", "a.TXT"), ("cafe\u0301", "caf\u00e9"), ("STRASSE", "straße")])
def test_names_that_a_disk_may_take_for_one(one: str, other: str) -> None:
    assert folded(one) == folded(other)
    assert folded("a") != folded("b")
