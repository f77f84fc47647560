"""What was written before still decodes, to the same values; and nobody changes the wire without saying so."""

from pathlib import Path
from typing import Annotated

import msgspec
import pytest

from tests.support.wire import GOLDEN, MODULES, VERSIONS, advice, example, folder, shape, structs

FILES = sorted(file for file in GOLDEN.glob("*/v*/*.json") if file.name != "schema.json")


def version_of(file: Path) -> int:
    return int(file.parent.name.removeprefix("v"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: "-".join(file.relative_to(GOLDEN).parts))
def test_what_was_written_decodes(file: Path) -> None:
    module = file.parent.parent.name
    kind = structs(MODULES[module])[file.stem]
    written = file.read_bytes().rstrip(b"\n")
    value = msgspec.json.decode(written, type=kind)
    if version_of(file) == VERSIONS[module]:
        assert value == example(kind)
        assert msgspec.json.encode(value) == written
    else:  # an older one: it is understood, and what it says is kept
        assert msgspec.json.decode(msgspec.json.encode(value), type=kind) == value


@pytest.mark.parametrize("module", MODULES)
def test_every_struct_has_its_file(module: str) -> None:
    there = {file.stem for file in folder(module).glob("*.json")} - {"schema"}
    assert there == set(structs(MODULES[module])), advice(module) or "run python -m tests.support.wire"


@pytest.mark.parametrize("module", MODULES)
def test_a_changed_struct_raises_the_version(module: str) -> None:
    assert not advice(module), advice(module)


def test_a_change_would_be_seen() -> None:
    """The schema sees a new field, a type, a default, a constraint and a renamed tag."""

    class First(msgspec.Struct, tag="a"):
        x: int

    before = shape(First)
    for fields, tag in (
        ([("x", int), ("y", int, 0)], "a"),
        ([("x", str)], "a"),
        ([("x", int, 1)], "a"),
        ([("x", Annotated[int, msgspec.Meta(ge=0)])], "a"),
        ([("x", int)], "b"),
        ([("z", int)], "a"),
    ):
        assert shape(msgspec.defstruct("First", fields, tag=tag)) != before
