"""Blocking functions that do harm, each named after it; and two that do none. Found in child processes by this module's name."""

import asyncio
import contextlib
import ctypes
import faulthandler
import gc
import locale
import multiprocessing
import os
import pty
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from shared.worker import App, Task

app = App()
PATH = f"{__name__}:app"
SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(3600)"]


def blocking(call: Callable[[Task], Any]) -> Callable[[Task], Any]:
    return app.function(blocking=True)(call)


@blocking
def echo(task: Task) -> Any:
    return task.payload


@blocking
def state(task: Task) -> Any:
    """What the next task finds of what an earlier one may have changed."""
    mask = os.umask(0o022)
    os.umask(mask)
    return [os.getcwd(), mask, resource.getrlimit(resource.RLIMIT_NOFILE)[0], os.environ.get("LEFT"), os.getpid()]


# -- copies of the process


@blocking
def fork_returns(task: Task) -> str:
    """The copy returns as the original does."""
    return "copy" if os.fork() == 0 else "original"


@blocking
def fork_raises(task: Task) -> str:
    if os.fork() == 0:
        raise OSError("execvp failed")
    return "original"


@blocking
def pty_returns(task: Task) -> str:
    return "copy" if pty.fork()[0] == 0 else "original"


@blocking
def c_fork_returns(task: Task) -> str:
    """A copy that Python does not see being made."""
    return "copy" if ctypes.CDLL(None).fork() == 0 else "original"


@blocking
def c_fork_lives(task: Task) -> str:
    """A copy that reports, and stays. Lives long enough for both."""
    reads, writes = os.pipe()
    if ctypes.CDLL(None).fork() == 0:
        task.progress(0.5, "from the copy")
        os.write(writes, b"1")
        time.sleep(3600)
    os.read(reads, 1)
    return "original"


@blocking
def fork_in_a_thread(task: Task) -> str:
    def copy() -> None:
        if os.fork() == 0:
            task.progress(0.5, "from the copy")

    thread = threading.Thread(target=copy)
    thread.start()
    thread.join()
    return "original"


@blocking
def process_of_multiprocessing(task: Task) -> str:
    process = multiprocessing.get_context("fork").Process(target=print, args=("in the process",))
    process.start()
    process.join()
    return "original"


# -- ends


@blocking
def exits(task: Task) -> NoReturn:
    sys.exit(task.payload)


class Bare(BaseException):
    pass


@blocking
def raises_bare(task: Task) -> NoReturn:
    raise Bare("not an Exception")


@blocking
def interrupts(task: Task) -> NoReturn:
    raise KeyboardInterrupt


@blocking
def runs_out_of_memory(task: Task) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (2**31, resource.getrlimit(resource.RLIMIT_AS)[1]))
    bytearray(2**40)


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@blocking
def raises_mute(task: Task) -> NoReturn:
    raise Mute


class Endless(Exception):
    def __str__(self) -> str:
        return str(self)


@blocking
def raises_endless(task: Task) -> NoReturn:
    raise Endless


@blocking
def raises_surrogates(task: Task) -> NoReturn:
    task.progress(0.5, "reading caf\udce9.fits")
    raise ValueError("cannot read caf\udce9.fits")


@blocking
def recurses(task: Task) -> int:
    return int(recurses(task)) + 1


@blocking
def yields(task: Task) -> Any:
    def numbers() -> Iterator[int]:
        yield 1

    return numbers()


@blocking
def awaits_nothing(task: Task) -> Any:
    async def nothing() -> None: ...

    return nothing()


@blocking
def returns_much(task: Task) -> bytes:
    return bytes(task.payload)


@blocking
def segfaults(task: Task) -> None:
    faulthandler.disable()
    ctypes.string_at(0)


@blocking
def aborts(task: Task) -> None:
    os.abort()


@blocking
def leaves(task: Task) -> None:
    os._exit(0)


@blocking
def replaces_itself(task: Task) -> None:
    os.execvp("true", ["true"])


@blocking
def signals_itself(task: Task) -> str:
    os.kill(os.getpid(), getattr(signal, task.payload))
    time.sleep(3600 if task.payload == "SIGSTOP" else 0)
    return "alive"


@blocking
def signals_its_group(task: Task) -> None:
    os.killpg(0, signal.SIGKILL)


@blocking
def signals_its_parent(task: Task) -> str:
    os.kill(os.getppid(), getattr(signal, task.payload))
    time.sleep(3600 if task.payload == "SIGKILL" else 0)
    return "alive"


# -- what is left behind


@blocking
def leaves_a_process(task: Task) -> str:
    """In a session of its own, with the standard streams; the mark is its argument. Hangs if it is to."""
    subprocess.Popen([*SLEEP, task.payload["mark"]], start_new_session=True)
    time.sleep(3600 if task.payload.get("hangs") else 0)
    return "done"


@blocking
def leaves_a_daemon(task: Task) -> str:
    """The classic double fork."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execv(SLEEP[0], [*SLEEP, task.payload["mark"]])
        os._exit(0)
    os.wait()
    return "done"


@blocking
def leaves_a_thread(task: Task) -> str:
    """It goes on printing and reporting."""

    def go_on() -> None:
        while True:
            print("left over", flush=True)
            task.progress(0.9, "left over")
            time.sleep(0.001)

    threading.Thread(target=go_on, daemon=True).start()
    return "done"


@blocking
def reports_from_a_thread(task: Task) -> bytes:
    """As quickly as it can, beside a return value of 5 MB."""
    stop = threading.Event()

    def report() -> None:
        while not stop.is_set():
            task.progress(0.5, "x" * 300)

    threads = [threading.Thread(target=report) for _ in range(2)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    value = bytes(5_000_000)
    threading.Timer(0.2, stop.set).start()
    return value


@blocking
def reports_without_end(task: Task) -> None:
    while True:
        task.progress(0.5)


# -- what the next one would find


def _redirect() -> None:
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))


CHANGES: dict[str, Callable[[], object]] = {
    "chdir": lambda: os.chdir("/tmp"),
    "umask": lambda: os.umask(0o777),
    "setrlimit": _limit,
    "environ": lambda: os.environ.update(LEFT="over"),
    "signal": lambda: signal.signal(signal.SIGUSR1, signal.SIG_IGN),
    "mask": lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]),
    "alarm": lambda: signal.alarm(1),
    "close stdout": lambda: sys.stdout.close(),
    "close descriptor 1": lambda: os.close(1),
    "redirect": _redirect,
    "policy": lambda: asyncio.set_event_loop_policy(type("Policy", (asyncio.DefaultEventLoopPolicy,), {})()),
    "locale": lambda: locale.setlocale(locale.LC_ALL, "C.UTF-8" if locale.setlocale(locale.LC_ALL) == "C" else "C"),
    "nice": lambda: os.nice(1),
    "recursion": lambda: sys.setrecursionlimit(200),
    "trace": lambda: sys.setprofile(lambda *_: None),
    "collector": gc.disable,
    "timeout": lambda: socket.setdefaulttimeout(0.001),
    "files": lambda: KEPT.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(1000)),
}
KEPT: list[int] = []
SEEN = {
    **{"chdir": "the working directory", "umask": "the umask", "setrlimit": "resource limits"},
    **{"environ": "the environment", "signal": "signal handlers", "mask": "blocked signals", "alarm": "a timer"},
    **{
        "close stdout": "a closed sys.stdout or sys.stderr",
        "close descriptor 1": "standard output",
        "redirect": "sys.stdout",
    },
    **{"policy": "the event loop's policy", "locale": "the locale", "nice": "the priority"},
    **{"recursion": "the recursion limit", "trace": "a profile function", "collector": "the collector of cycles"},
    **{"timeout": "the default time-out of sockets", "files": "open descriptors"},
}
"""How each is named."""


@blocking
def changes(task: Task) -> str:
    CHANGES[task.payload]()
    return "done"


# -- the channel


def _sockets() -> list[int]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                found.append(int(name))
    return found


@blocking
def writes_anywhere(task: Task) -> str:
    """Writes the payload, as Latin-1, to every socket that its process has."""
    for fd in _sockets():
        os.write(fd, task.payload.encode("latin-1"))
    return "done"


@blocking
def closes_descriptors(task: Task) -> str:
    os.closerange(3, 65536)
    with open(task.payload, "wb") if task.payload else contextlib.nullcontext():
        pass
    return "done"


@blocking
def puts_a_file_there(task: Task) -> str:
    """A file of its own under the number of each socket."""
    file = os.open(task.payload, os.O_WRONLY | os.O_CREAT, 0o600)
    for fd in _sockets():
        os.dup2(file, fd)
    return "done"


@blocking
def lists_descriptors(task: Task) -> Any:
    """What a sub-process has, and what its environment and its parents' say."""
    script = "ls -l /proc/self/fd | sed 's/.* -> //'"
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout.split()


@blocking
def reads_its_input(task: Task) -> Any:
    return sys.stdin.read()


@blocking
def prints_without_newline(task: Task) -> str:
    """As many MiB as the payload says."""
    block = b"x" * 2**20
    for _ in range(task.payload):
        os.write(1, block)
    return "done"


@blocking
def sets_the_clock_back(task: Task) -> str:
    """For its own process: to set the machine's takes a right that nobody should have."""
    time.time = time.monotonic = lambda: 0.0
    return "done"


def decode(value: bytes) -> Any:
    return msgspec.json.decode(value)


def named(mark: str) -> list[int]:
    """The processes that have a mark among their arguments."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with contextlib.suppress(OSError):
                if mark.encode() in (path / "cmdline").read_bytes().split(b"\0"):
                    found.append(int(path.name))
    return found
