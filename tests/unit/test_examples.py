"""Errors about texts show an example, not a regular expression."""

from typing import Any

import msgspec
import pytest

from shared.contracts.catalogue import DatasetCreate, DatasetRef
from shared.contracts.compute import NewResult, Options, PartitionCreate
from shared.contracts.examples import with_example


@pytest.mark.parametrize(
    ("kind", "rest", "field", "text", "example"),
    [
        (DatasetRef, {}, "pid", "/x", "a pid such as '20.500.12345/a3f1'"),
        (DatasetCreate, {}, "pid", "x\n", "a pid such as"),
        (DatasetCreate, {"pid": "p"}, "ownerGroup", "", "a name such as 'users'"),
        (PartitionCreate, {}, "name", "GPU", "a name such as 'gpu'"),
        (Options, {}, "function", "9", "a function such as 'measure'"),
        (NewResult, {}, "name", "a\n", "without control characters"),
        (NewResult, {}, "sha256", "x", "a SHA-256 in hex"),
    ],
)
def test_an_example_stands_for_the_pattern(
    kind: Any, rest: dict[str, str], field: str, text: str, example: str
) -> None:
    with pytest.raises(msgspec.ValidationError) as raised:
        msgspec.json.decode(msgspec.json.encode(rest | {field: text}), type=kind)
    message = with_example(str(raised.value))
    assert message.startswith("Expected ")
    assert example in message
    assert "regex" not in message
    assert message.endswith(f" - at `$.{field}`")


def test_another_message_stays() -> None:
    assert with_example("Expected `int`, got `str`") == "Expected `int`, got `str`"
    assert with_example("Expected `str` matching regex '^x$'") == "Expected `str` matching regex '^x$'"
