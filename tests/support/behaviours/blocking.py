"""Blocking functions that misbehave. They run in child processes, one after the other."""

import asyncio
import contextlib
import ctypes
import faulthandler
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
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

from shared.worker import Task
from shared.worker.functions import TaskError
from tests.support.behaviours.case import Table

table = Table(blocking=True)
app, row = table.app, table.row
PATH = f"{__name__}:app"
PLACE = r" \(blocking\.py:\d+\)"
DIED = "the process that ran it "
SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(3600)"]


@app.function(blocking=True)
def echo(task: Task) -> Any:
    """Does no harm."""
    return task.payload


@app.function(blocking=True)
def state(task: Task) -> Any:
    """What the next task finds of what an earlier one may have changed, and the number of the process."""
    mask = os.umask(0o022)
    os.umask(mask)
    return [os.getcwd(), mask, resource.getrlimit(resource.RLIMIT_NOFILE)[0], len(os.environ), os.getpid()]


# -- copies of the process


@row(value=b'"original"')
def forks_and_both_return(task: Task) -> str:
    return "copy" if os.fork() == 0 else "original"


@row(value=b'"original"')
def forks_and_the_copy_raises(task: Task) -> str:
    if os.fork() == 0:
        raise OSError("execvp failed")
    return "original"


@row(value=b'"original"')
def forks_and_the_copy_exits(task: Task) -> str:
    if os.fork() == 0:
        sys.exit(1)
    return "original"


@row(value=b'"original"')
def forks_a_terminal(task: Task) -> str:
    return "copy" if pty.fork()[0] == 0 else "original"


@row(value=b'"original"')
def forks_in_c(task: Task) -> str:
    """A copy that Python does not see being made."""
    return "copy" if ctypes.CDLL(None).fork() == 0 else "original"


@row(value=b'"original"')
def forks_in_c_and_the_copy_reports(task: Task) -> str:
    """It lives on, and long enough to report."""
    reads, writes = os.pipe()
    if ctypes.CDLL(None).fork() == 0:
        task.progress(0.5, "from the copy")
        os.write(writes, b"1")
        time.sleep(3600)
    os.read(reads, 1)
    return "original"


@row(value=b'"original"')
def forks_in_a_thread(task: Task) -> str:
    def copy() -> None:
        if os.fork() == 0:
            task.progress(0.5, "from the copy")

    thread = threading.Thread(target=copy)
    thread.start()
    thread.join()
    return "original"


@row(value=b'"original"', log="in the process")
def runs_a_process_of_multiprocessing(task: Task) -> str:
    process = multiprocessing.get_context("fork").Process(target=print, args=("in the process",))
    process.start()
    process.join()
    return "original"


# -- ends that are no ordinary exceptions


@row("error", f"SystemExit: 3{PLACE}", log="in exits")
def exits(task: Task) -> NoReturn:
    sys.exit(3)


class Bare(BaseException):
    pass


@row("error", f"Bare: not an Exception{PLACE}")
def raises_base_exception(task: Task) -> NoReturn:
    raise Bare("not an Exception")


@row("error", f"KeyboardInterrupt{PLACE}")
def interrupts(task: Task) -> NoReturn:
    raise KeyboardInterrupt


@row("error", f"KeyboardInterrupt{PLACE}")
def interrupts_itself(task: Task) -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(1)


@row("error", f"MemoryError{PLACE}")
def has_no_memory(task: Task) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (2**31, resource.getrlimit(resource.RLIMIT_AS)[1]))
    bytearray(2**40)


@row("error", rf"RecursionError: maximum recursion depth exceeded.*{PLACE}")
def recurses(task: Task) -> int:
    def deeper(level: int) -> int:
        return deeper(level + 1) + 1

    return deeper(0)


@row("error", "no such star")
def fails_in_words_of_its_own(task: Task) -> None:
    raise TaskError("no such star")


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@row("error", rf"Mute: \(no text: its __str__ raised RuntimeError\){PLACE}")
def has_no_text(task: Task) -> NoReturn:
    raise Mute


class Endless:
    """A `__repr__` without end."""

    def __repr__(self) -> str:
        return repr(self) + "."


@row("error", rf"KeyError: \(no text: its __str__ raised RecursionError\){PLACE}")
def has_a_text_without_end(task: Task) -> NoReturn:
    raise KeyError(Endless())


@row("error", f"ValueError: cannot read caf\ufffd\\.fits{PLACE}", progress="reading caf\ufffd.fits")
def has_half_a_surrogate_pair(task: Task) -> NoReturn:
    task.progress(0.5, "reading caf\udce9.fits")
    raise ValueError("cannot read caf\udce9.fits")


# -- deaths


@row("lost", rf"{DIED}was killed by SIGSEGV \(status -11\)")
def reads_where_nothing_is(task: Task) -> None:
    faulthandler.disable()
    ctypes.string_at(0)


@row("lost", rf"{DIED}was killed by SIGABRT \(status -6\)")
def aborts(task: Task) -> None:
    os.abort()


@row("lost", f"{DIED}ended with status 0")
def leaves(task: Task) -> None:
    os._exit(0)


@row("lost", f"{DIED}ended with status 0")
def replaces_itself(task: Task) -> None:
    os.execvp("true", ["true"])


@row("lost", rf"{DIED}was killed by SIGTERM \(status -15\)")
def ends_itself(task: Task) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@row("lost", rf"{DIED}was killed by SIGKILL \(status -9\)")
def kills_its_group(task: Task) -> None:
    os.killpg(0, signal.SIGKILL)


@row("lost", rf"{DIED}was killed by SIGKILL \(status -9\)")
def kills_its_parent(task: Task) -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(3600)


@row("timeout", "it took longer than 0.3 s", max_duration=0.3)
def stops_itself(task: Task) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(3600)


@row("timeout", "it took longer than 0.3 s", max_duration=0.3)
def stops_its_parent(task: Task) -> None:
    os.kill(os.getppid(), signal.SIGSTOP)
    subprocess.Popen([*SLEEP, str(task.payload)])
    time.sleep(3600)


@row("timeout", "it took longer than 0.3 s", max_duration=0.3)
def ignores_all_signals(task: Task) -> None:
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    while True:
        pass


# -- what goes on after the end


@row(value=b'"done"')
def leaves_a_process(task: Task) -> str:
    """In a session of its own; the payload is a mark among its arguments."""
    subprocess.Popen([*SLEEP, str(task.payload)], start_new_session=True)
    return "done"


@row("timeout", "it took longer than 0.3 s", max_duration=0.3)
def leaves_a_process_when_it_is_stopped(task: Task) -> None:
    subprocess.Popen([*SLEEP, str(task.payload)], start_new_session=True)
    time.sleep(3600)


@row(value=b'"done"')
def leaves_a_daemon(task: Task) -> str:
    """The classic double fork."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execv(SLEEP[0], [*SLEEP, str(task.payload)])
        os._exit(0)
    os.wait()
    return "done"


@row(value=b'"done"')
def leaves_processes_that_print(task: Task) -> str:
    for _ in range(5):
        subprocess.Popen("while :; do echo left over; done", shell=True, start_new_session=True)
    return "done"


@row(value=b'"done"')
def leaves_a_thread_that_goes_on(task: Task) -> str:
    def go_on() -> None:
        while True:
            print("left over", flush=True)
            task.progress(0.9, "left over")
            time.sleep(0.001)

    threading.Thread(target=go_on, daemon=True).start()
    return "done"


@row(value=b'"done"')
def leaves_a_pool_of_threads(task: Task) -> str:
    KEPT.append(ThreadPoolExecutor(4).submit(time.sleep, 3600))
    return "done"


@row(progress="y" * 300)
def reports_from_threads(task: Task) -> bytes | None:
    """As quickly as they can, beside a value of as many bytes as the payload says."""
    stop = threading.Event()

    def report() -> None:
        while not stop.is_set():
            task.progress(0.5, "y" * 300)

    threads = [threading.Thread(target=report) for _ in range(2)]
    for thread in threads:
        thread.start()
    threading.Timer(0.1, stop.set).start()
    return b"x" * task.payload if task.payload else None


@row("timeout", "it took longer than 0.3 s", max_duration=0.3)
def reports_without_end(task: Task) -> None:
    while True:
        task.progress(0.5, "again")


# -- values and output


@row("error", "returns_a_generator: return value .*generator is unsupported")
def returns_a_generator(task: Task) -> Any:
    def numbers() -> Iterator[int]:
        yield 1

    return numbers()


@row("error", "returns_what_was_never_awaited: return value .*coroutine is unsupported")
def returns_what_was_never_awaited(task: Task) -> Any:
    return asyncio.sleep(0)


@row("error", "returns_a_gigabyte: return value: 1000000000 bytes; a blocking function returns at most 268435456")
def returns_a_gigabyte(task: Task) -> bytes:
    return bytes(10**9)


@row("error", r"returns_nan: return value \$\[1\]: nan is no number in JSON")
def returns_nan(task: Task) -> object:
    return [1, float("nan")]


@row(value=b'"done"', log="bytes more were not kept")
def prints_without_newline(task: Task) -> str:
    block = b"x" * 2**20
    for _ in range(16):
        os.write(1, block)
    return "done"


@row(value=b'"done"', log="caf.*\u241b\\[2J")
def prints_what_is_no_text(task: Task) -> str:
    os.write(1, b"caf\xe9\x1b[2J\n")
    return "done"


@row(value=b'""')
def reads_its_input(task: Task) -> str:
    return sys.stdin.read()


# -- what belongs to the process

KEPT: list[Any] = []


@row(value=b'"done"')
def goes_elsewhere(task: Task) -> str:
    os.chdir("/tmp")
    return "done"


@row(value=b'"done"')
def changes_the_umask(task: Task) -> str:
    os.umask(0o777)
    return "done"


@row(value=b'"done"')
def lowers_a_limit(task: Task) -> str:
    resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))
    return "done"


@row(value=b'"done"')
def leaves_an_alarm(task: Task) -> str:
    signal.signal(signal.SIGALRM, lambda *_: sys.exit(9))
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    return "done"


@row(value=b'"done"')
def closes_its_streams(task: Task) -> str:
    for fd in (0, 1, 2):
        os.close(fd)
    return "done"


@row(value=b'"done"')
def changes_the_event_loops_policy(task: Task) -> str:
    asyncio.set_event_loop_policy(type("Policy", (asyncio.DefaultEventLoopPolicy,), {})())
    return "done"


@row(value=b'"done"')
def opens_ten_thousand_files(task: Task) -> str:
    with contextlib.suppress(OSError):
        KEPT.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(10_000))
    return "done"


@row(value=b'"done"')
def sets_its_clock_back(task: Task) -> str:
    """Its own: the machine's is for root alone."""
    time.time = time.monotonic = lambda: 0.0
    return "done"


@row(value=b'"done"')
def changes_the_environment(task: Task) -> str:
    os.environ.clear()
    return "done"


@row(value=b'"done"')
def traces_everything(task: Task) -> str:
    sys.setprofile(lambda *_: None)
    return "done"


@row(value=b'"done"')
def has_a_time_limit_for_sockets(task: Task) -> str:
    socket.setdefaulttimeout(0.001)
    return "done"


# -- the channel


def sockets() -> list[int]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                found.append(int(name))
    return found


@row("error", "writes_to_all_sockets wrote to descriptors that are not its own: ", payload=b'"garbage\\n"')
def writes_to_all_sockets(task: Task) -> str:
    """The payload, as Latin-1."""
    for fd in sockets():
        os.write(fd, task.payload.encode("latin-1"))
    return "done"


@row("error", "closes_descriptors has closed descriptors that are not its own")
def closes_descriptors(task: Task) -> str:
    """The payload: a file that it opens afterwards."""
    os.closerange(3, 65536)
    with open(task.payload, "wb") if task.payload else contextlib.nullcontext():
        return "done"


@row("error", "closes_descriptors_and_goes_on has closed descriptors that are not its own")
def closes_descriptors_and_goes_on(task: Task) -> None:
    os.closerange(3, 65536)
    time.sleep(3600)


@row("error", "puts_files_over_sockets has closed descriptors that are not its own")
def puts_files_over_sockets(task: Task) -> str:
    """A file of its own, the payload, under the number of each socket."""
    file = os.open(task.payload or os.devnull, os.O_WRONLY | os.O_CREAT, 0o600)
    for fd in sockets():
        os.dup2(file, fd)
    return "done"


@row(value=b"[]")
def gives_its_descriptors_to_a_command(task: Task) -> list[str]:
    """Those of its sub-process that are sockets."""
    script = "ls -l /proc/self/fd | sed 's/.* -> //'"
    seen = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout.split()
    return [name for name in seen if name.startswith("socket:")]
