"""`python -m tests.support.wire` writes the golden files of a new version, and leaves those of an old one alone."""

import types
from pathlib import Path

import msgspec
import pytest

from tests.support import wire


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> types.ModuleType:
    """A contract of one Struct, in version 1, without files yet."""
    made = types.ModuleType("made")
    made.__file__ = "made.py"
    vars(made)["First"] = msgspec.defstruct("First", [("x", int)], module="made")
    monkeypatch.setattr(wire, "GOLDEN", tmp_path)
    monkeypatch.setattr(wire, "MODULES", {"made": made})
    monkeypatch.setattr(wire, "VERSIONS", {"made": 1})
    return made


def written(root: Path) -> dict[str, bytes]:
    return {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*.json")}


def test_what_is_stored_stays_until_the_version_is_raised(module: types.ModuleType, tmp_path: Path) -> None:
    wire.main()
    first = written(tmp_path)
    assert set(first) == {"made/v1/First.json", "made/v1/schema.json"}
    wire.main()
    for name, fields in (("Second", [("y", int)]), ("First", [("x", str)])):
        vars(module)[name] = msgspec.defstruct(name, fields, module="made")
        with pytest.raises(
            SystemExit, match=rf"{name}.*: not as in .*v1\. Raise VERSION in made\.py; or, if version 1 is"
        ):
            wire.main()
        assert written(tmp_path) == first
    wire.VERSIONS["made"] = 2
    wire.main()
    after = written(tmp_path)
    assert first.items() <= after.items()
    assert set(after) - set(first) == {"made/v2/First.json", "made/v2/Second.json", "made/v2/schema.json"}


def test_a_lost_example_is_not_written_into_an_old_folder(module: types.ModuleType, tmp_path: Path) -> None:
    wire.main()
    (tmp_path / "made/v1/First.json").unlink()
    with pytest.raises(SystemExit, match="First: not as in"):
        wire.main()
    assert set(written(tmp_path)) == {"made/v1/schema.json"}
