"""The functions that every worker of the embedded stack knows."""

import asyncio
from typing import Any

from shared.worker import App, Task

app = App()


@app.function
async def noop(task: Task) -> None:
    """Does nothing: what is left is what Headrace itself costs."""


@app.function
async def echo(task: Task) -> Any:
    """Gives back its payload."""
    return task.payload


@app.function
async def sleep(task: Task) -> None:
    """Waits for `payload` seconds, and reports ten times how far it is."""
    seconds = float(task.payload)
    for tenth in range(10):
        task.progress(tenth / 10, f"{seconds * tenth / 10:.1f} of {seconds:g} s")
        await asyncio.sleep(seconds / 10)
