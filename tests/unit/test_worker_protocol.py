"""The examples of docs/worker-protocol.md are what the contracts decode, with nothing left over."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shared.contracts import work

TEXT = (Path(__file__).parents[2] / "docs/worker-protocol.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```json (\w+)\n(.+?)^```", TEXT, re.M | re.S)


def without_defaults(node: Any) -> Any:
    """Fields that may be absent are absent on one side only."""
    if isinstance(node, dict):
        return {key: without_defaults(value) for key, value in node.items() if value not in (1, 0, None)}
    return [without_defaults(part) for part in node] if isinstance(node, list) else node


@pytest.mark.parametrize(("name", "text"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_examples_decode(name: str, text: str) -> None:
    decoded = msgspec.json.decode(text, type=getattr(work, name))
    again = msgspec.json.decode(msgspec.json.encode(decoded))
    assert without_defaults(again) == without_defaults(msgspec.json.decode(text))


def test_every_message_has_an_example() -> None:
    assert {name for name, _ in EXAMPLES} == {
        *("TaskBatch", "ReportBatch", "Beat", "BeatReply", "Confirm", "Confirmed", "InputsOf", "Inputs"),
        *("Control", "Command", "Spawn", "Spawned"),
    }
