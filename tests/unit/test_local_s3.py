"""What a killed SeaweedFS leaves behind in the folder for temporary files."""

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from deploy.local import ports, s3


@pytest.fixture
def leftover(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    file = tmp_path / "seaweedfs-s3-24999.sock"
    file.touch()
    return file


def test_ones_own_is_no_hindrance(leftover: Path) -> None:
    assert not s3.is_taken(24_999)


def test_a_port_with_somebody_elses_is_taken(leftover: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only they, or root, could remove it from a folder that all share."""
    owner = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: owner)
    assert s3.is_taken(24_999)
    assert not s3.is_taken(24_998)


def test_a_port_that_is_of_no_use_is_replaced(tmp_path: Path) -> None:
    kept = tmp_path / "ports.json"
    with ExitStack() as held:
        first = ports.choose(["a"], kept, held)["a"]
    with ExitStack() as held:
        assert ports.choose(["a"], kept, held)["a"] == first
    with ExitStack() as held:
        assert ports.choose(["a"], kept, held, taken=lambda port: port == first)["a"] != first
