"""One version: pyproject, the services and the changelog agree."""

import importlib
import re
import tomllib
from pathlib import Path

import pytest

from shared.contracts.subjects import SERVICES

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


@pytest.mark.parametrize("package", [*(f"services.{service}" for service in SERVICES), "shared.client"])
def test_packages_say_the_version_of_the_project(package: str) -> None:
    assert importlib.import_module(package).__version__ == VERSION


def test_the_changelog_begins_with_it() -> None:
    heads = re.findall(r"^## \[([^\]]+)\] - (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert heads[0][0] == VERSION
    assert all(re.fullmatch(r"Unreleased|\d{4}-\d{2}-\d{2}", date) for _, date in heads)
