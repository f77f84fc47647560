"""Functions that run in a worker's child processes: found there by this module's name."""

import os
import time

from shared.worker import App, Task

app = App()
PATH = f"{__name__}:app"


@app.function(blocking=True)
def double(task: Task) -> bytes:
    """Tells how far it is, prints (which must not reach the worker's stream), and doubles its input."""
    print("a line that is not a frame")
    task.progress(0.5, "half")
    return task.inputs[0] * 2


@app.function(blocking=True)
def hang(task: Task) -> None:
    """Does not come back by itself; leaves its process's number where the payload says."""
    with open(task.payload, "w", encoding="utf-8") as file:
        file.write(str(os.getpid()))
    time.sleep(3600)


@app.function(blocking=True)
def crash(task: Task) -> int:
    """Dies at the first attempt."""
    if task.attempt == 0:
        os._exit(7)
    return task.attempt
