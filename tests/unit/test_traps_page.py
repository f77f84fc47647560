"""docs/traps.md names tests that there are."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = (ROOT / "docs" / "traps.md").read_text(encoding="utf-8").splitlines()[6:]
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", "\n".join(ROWS))


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_it_is_there(file: str, name: str) -> None:
    assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)


def test_every_trap_has_one() -> None:
    assert len(ROWS) == 13
    assert all("`tests/" in row for row in ROWS)
