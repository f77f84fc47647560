"""Functions by name: how they are registered, what they are given, what they may return."""

from typing import Any
from uuid import uuid4

import pytest

from shared.worker.functions import App, Task, TaskError, encode_outputs, load


def test_they_are_registered_under_their_name_or_another() -> None:
    app = App()

    @app.function
    async def plain(task: Task) -> None: ...

    @app.function(name="other-name", blocking=True)
    def blocking(task: Task) -> None: ...

    assert sorted(app.functions) == ["other-name", "plain"]
    assert (app.functions["plain"].blocking, app.functions["other-name"].blocking) == (False, True)


def test_a_wrong_kind_or_a_name_twice_is_refused() -> None:
    app = App()

    async def coroutine(task: Task) -> None: ...

    def plain(task: Task) -> None: ...

    with pytest.raises(TypeError, match="plain: write async def"):
        app.function(plain)
    with pytest.raises(TypeError, match="cannot be a coroutine"):
        app.function(blocking=True)(coroutine)
    app.function(coroutine)
    with pytest.raises(ValueError, match="twice"):
        app.function(coroutine)


@pytest.mark.parametrize(
    ("value", "count", "encoded"),
    [
        (b"raw", 1, [b"raw"]),
        (bytearray(b"raw"), 1, [b"raw"]),
        ({"a": 1}, 1, [b'{"a":1}']),
        ([1, 2], 1, [b"[1,2]"]),
        (None, 1, [b"null"]),
        ("ignored", 0, []),
        ((b"a", 2), 2, [b"a", b"2"]),
    ],
)
def test_what_is_returned_becomes_the_outputs(value: Any, count: int, encoded: list[bytes]) -> None:
    assert encode_outputs(value, count) == encoded


@pytest.mark.parametrize("value", ["ab", [1], (1, 2, 3), None])
def test_several_outputs_need_so_many_values(value: Any) -> None:
    with pytest.raises(TaskError, match="2 outputs"):
        encode_outputs(value, 2)


def test_a_task_decodes_its_payload_and_tells_how_far_it_is() -> None:
    received: list[tuple[float, str]] = []
    task = Task(uuid4(), 1, b'{"n": 3}', [b"in"], 1, lambda f, m: received.append((f, m)))
    assert (task.payload, task.raw_payload, task.inputs, task.attempt) == ({"n": 3}, b'{"n": 3}', [b"in"], 1)
    task.progress(0.5, "half")
    assert received == [(0.5, "half")]


def test_an_app_is_found_by_its_path() -> None:
    assert "double" in load("tests.support.compute_functions:app").functions
    with pytest.raises(SystemExit, match="no App"):
        load("tests.support.compute_functions:nothing")
