"""What the code of tasks does to the whole process of a worker: put back, or the process ends."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from shared.worker.process_state import ProcessState

BLOCKED = """
import asyncio, time
from shared.worker import loop_watchdog

loop_watchdog.LIMIT = 0.2

async def main():
    task = asyncio.create_task(loop_watchdog.end_if_blocked())
    await asyncio.sleep(0)
    never_ends()

def never_ends():
    time.sleep(3600)

asyncio.run(main())
"""
THREADS = """
import threading
from shared.worker import __main__ as worker

worker.PATIENCE = 0.05
threading.Thread(target=threading.Event().wait).start()
worker.leave_threads(3)
"""


def test_it_is_put_back_and_what_cannot_be_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    state = ProcessState()
    os.chdir("/")
    mask = os.umask(0o077)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[0] - 1, before[1]))
    sys.setrecursionlimit(sys.getrecursionlimit() + 1)
    state.restore()
    assert Path.cwd() == folder
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before
    assert os.umask(mask) == mask
    os.chdir("/")
    folder.rmdir()
    state.restore()
    state.restore()  # it has been said, once
    assert os.getcwd() == "/"


def test_folder_and_streams_are_put_back_before_the_next_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    state, stdout = ProcessState(), sys.stdout
    os.chdir("/")
    state.before_run(1.0)
    assert Path.cwd() == tmp_path
    os.chdir("/")
    sys.stdout = None  # type: ignore[assignment]
    state.before_run(1.0)
    assert sys.stdout is stdout
    assert Path.cwd() == tmp_path


@pytest.mark.parametrize(
    ("code", "status", "words"), [(BLOCKED, 1, "in never_ends"), (THREADS, 3, "worker.threads_left")]
)
def test_a_process_that_would_not_end_by_itself_does(code: str, status: int, words: str) -> None:
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == status, ended.stderr
    assert words in ended.stdout + ended.stderr
