"""Names that become paths or keys, by every way in: each is refused by the one rule, and what it accepts stays where it belongs."""

import os
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.archiver.catalogue.datasets import checked_files
from services.scheduler.compute.results.imports import Imports, prefixes
from shared.contracts.catalogue import DataFile, OrigDatablockCreate
from shared.contracts.errors import HeadraceError, Invalid
from shared.contracts.ids import uuid7
from shared.objects.identity import Guard
from shared.objects.layout import LONGEST_KEY, MARKER, check_key, check_name, check_path, name_fault, path_fault
from shared.objects.posix import PosixStore
from shared.objects.storage_init import init_folder
from shared.testing.objects import MemoryObjects
from shared.worker.commands import parse
from shared.worker.error_text import TaskError

HOSTILE = (
    "..", ".", "", "/", "/etc/passwd", "../up", "a/../../up", "a/..", "./a", "a/.", "a//b", "a/", "//a",
    "..\\up", "C:\\a", "a\\..\\b", "a\0b", "a\0/../b", "a\nb", "a\rb", "a\x1b[2Jb", "\x7f", "a\x85", "\u202egnp",
    "a\u2028b", "\ud800", "a\udc80", "a\uffff", "n" * 256, "ü" * 128, "a/" * 600 + "a",
)  # fmt: skip


def _files(name: str) -> None:
    checked_files(OrigDatablockCreate("a/b", [DataFile(name, 0, "0" * 64)]))


def _command(kind: str) -> Callable[[str], object]:
    def call(name: str) -> object:
        names: dict[str, Any] = {kind: [name]}
        return parse(msgspec.json.encode({"command": ["true"], **names}), *((1, 0) if kind == "inputs" else (0, 1)))

    return call


def _import(name: str) -> None:
    nothing: Any = None
    Imports(nothing, nothing, MemoryObjects(), ("shelf/",))._check_key(f"shelf/{name}", "object")


WAYS: dict[str, Callable[[str], object]] = {
    "a key": check_key,
    "a name": check_name,
    "a path": check_path,
    "a dataset's file": _files,
    "an object to import": _import,
    "a command's input": _command("inputs"),
    "a command's output": _command("outputs"),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", HOSTILE, ids=[ascii(name)[:24] for name in HOSTILE])
def test_a_hostile_name_is_refused_by_every_way_in(way: str, name: str) -> None:
    if way.startswith("a command") and any("\ud800" <= character <= "\udfff" for character in name):
        return  # no JSON can hold it
    with pytest.raises((Invalid, TaskError)):
        WAYS[way](name)


STORES: dict[str, Callable[[Any, str], Awaitable[object]]] = {
    "put": lambda store, key: store.put(key, b"x"),
    "read": lambda store, key: store.read(key, limit=9),
    "head": lambda store, key: store.head(key),
    "delete": lambda store, key: store.delete([key]),
    "presign_get": lambda store, key: store.presign_get(key, timedelta(minutes=1)),
    "presign_put": lambda store, key: store.presign_put(key, timedelta(minutes=1), size=0, sha256="0" * 64),
}


@pytest.mark.parametrize("verb", STORES)
async def test_no_store_takes_a_hostile_key(verb: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    init_folder(root, "lts")
    before = sorted(tmp_path.rglob("*"))
    stores: list[Any] = [MemoryObjects(), *([] if verb.startswith("presign") else [PosixStore(root, Guard("lts"))])]
    for store in stores:
        for key in (*HOSTILE, MARKER, f"{MARKER}/a", "inline:1", "k" * (LONGEST_KEY + 1)):
            with pytest.raises(Invalid):
                await STORES[verb](store, key)
    assert [path for path in sorted(tmp_path.rglob("*")) if path not in before] == []


@pytest.mark.parametrize("text", ["..", "shelf,../up", "a//b", "results", "results/x", "/..", "a\nb", MARKER])
def test_prefixes_for_imports_that_would_open_more_end_the_process(text: str) -> None:
    with pytest.raises(SystemExit, match="HEADRACE_IMPORT_PREFIXES"):
        prefixes(text)


@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from(["..", ".", "a", "", "/", "\\", "é", "\0"]), max_size=6).map("/".join)
)
def test_what_is_accepted_stays_in_its_folder(path: str) -> None:
    if path_fault(path):
        return
    place = os.path.normpath(os.path.join("/root/folder", path))
    assert place == f"/root/folder/{path}", "nothing in it is taken for more than a name"
    assert place.encode().decode() == place
    assert all(name_fault(segment) == "" for segment in path.split("/"))
    try:
        check_key(path)
    except HeadraceError:
        assert path.startswith(("inline:", MARKER))


def test_ids_are_the_only_other_part_of_keys() -> None:
    check_key(f"landing/{uuid7()}/a")
