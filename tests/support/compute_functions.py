"""Functions that run in a worker's child processes: found there by this module's name."""

import ctypes
import os
import subprocess
import sys
import time
from pathlib import Path

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
def nothing(task: Task) -> None:
    """Needs no input."""


@app.function(blocking=True)
def divide(task: Task) -> bytes:
    """Submits as many tasks as the payload says, leaves its first output to their sum, and returns the second."""
    ten = task.create_result(10)
    parts = [task.submit("add", n, inputs=[*task.input_ids, ten]) for n in range(task.payload)]
    task.submit("add", 0, inputs=parts, outputs=task.expected[:1])
    return b"mine"


@app.function(blocking=True)
def add(task: Task) -> int:
    return task.payload + sum(map(int, task.inputs))


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


@app.function(blocking=True)
def speak(task: Task) -> None:
    """Prints in every way that there is."""
    print("by print")
    print("by stderr", file=sys.stderr)
    os.write(1, b"by the descriptor\n")
    subprocess.run([sys.executable, "-c", "print('by a sub-process')"], check=True)
    ctypes.CDLL(None).puts(b"by C")


@app.function(blocking=True)
def chatter(task: Task) -> None:
    """Prints lines of 64 bytes, as many as the payload says, as quickly as it can."""
    for number in range(task.payload):
        print(f"{number:063d}")


@app.function(blocking=True)
def last_words(task: Task) -> None:
    """Prints, tells by a file that it has, then hangs, or dies at its first attempt if there is no file."""
    os.write(2, b"attempt %d\n" % task.attempt)
    if task.payload is not None:
        Path(task.payload).touch()
        time.sleep(3600)
    if task.attempt == 0:
        os._exit(7)


@app.function(blocking=True)
def family(task: Task) -> None:
    """Starts a sub-process, leaves both numbers where the payload says, and does not come back by itself."""
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    left = Path(task.payload)
    left.with_suffix(".part").write_text(f"{os.getpid()} {other.pid}", encoding="utf-8")
    left.with_suffix(".part").rename(left)
    time.sleep(3600)


@app.function(blocking=True)
def large(task: Task) -> bytes:
    """As many bytes as the payload says."""
    return bytes(task.payload)
