"""What the workers of `make bench-million` run."""

import asyncio

from shared.worker import App, Task

NAP = 0.01
"""Seconds."""

app = App()


@app.function
async def noop(task: Task) -> None:
    """Does nothing."""


@app.function
async def nap(task: Task) -> None:
    """Takes 10 ms and hardly any CPU."""
    await asyncio.sleep(NAP)
