"""Functions for the workers of the tests: what they return depends on everything that they were given."""

import asyncio
import os
from pathlib import Path
from typing import Any

import msgspec

from shared.worker import App, Task
from tests.support.wait import wait_until

app = App()


@app.function
async def add(task: Task) -> int:
    """payload: {"n": a number, "nap": seconds}. Returns n and all inputs, added."""
    payload: dict[str, Any] = task.payload
    if nap := payload.get("nap", 0):
        await asyncio.sleep(nap)
    return int(payload["n"]) + sum(msgspec.json.decode(value, type=int) for value in task.inputs)


@app.function
async def blob(task: Task) -> bytes:
    """payload: how many bytes to return; with inputs, what they begin with is repeated."""
    pattern = b"".join(value[:8] for value in task.inputs) or task.id.bytes
    size = int(task.payload)
    return (pattern * (size // len(pattern) + 1))[:size]


@app.function
async def fail(task: Task) -> None:
    raise ValueError("as it was told to")


@app.function
async def noted(task: Task) -> int:
    """payload: {"notes": a path}. Adds a line to it: its id and attempt; returns how many inputs it was given."""
    _note(task)
    return len(task.inputs)


@app.function(blocking=True)
def dies_once(task: Task) -> int:
    """As `noted`; its process dies at the first attempt."""
    _note(task)
    if task.attempt == 0:
        os._exit(7)
    return len(task.inputs)


def _note(task: Task) -> None:
    with open(task.payload["notes"], "a", encoding="utf-8") as notes:
        notes.write(f"{task.id} {task.attempt}\n")


@app.function
async def hold(task: Task) -> str:
    """payload: a path. Runs until there is a file."""
    await wait_until(Path(task.payload).exists, timeout=60)
    return "held"
