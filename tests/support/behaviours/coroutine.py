"""Coroutine functions that misbehave. They run in the worker's own process and loop."""

import asyncio
import contextlib
import decimal
import gc
import locale
import os
import resource
import signal
import socket
import sys
import threading
import time
from contextvars import ContextVar
from typing import Any, NoReturn

from shared.worker import Task
from shared.worker.functions import TaskError
from tests.support.behaviours.case import Table

table = Table(blocking=False)
app, row = table.app, table.row
PLACE = r" \(coroutine\.py:\d+\)"
OWN = "Traceback.*in "
"""The traceback in a task's log begins with the function."""


# -- ends that are no ordinary exceptions


@row("error", f"SystemExit: 1{PLACE}", log=f"{OWN}exits")
async def exits(task: Task) -> None:
    sys.exit(1)


@row("error", f"SystemExit{PLACE}")
async def exits_after_a_wait(task: Task) -> None:
    await asyncio.sleep(0)
    raise SystemExit


@row("error", f"RuntimeError: SystemExit: 3{PLACE}{PLACE}")
async def exits_in_what_it_gathers(task: Task) -> None:
    async def exits() -> None:
        await asyncio.sleep(0)
        sys.exit(3)

    await asyncio.gather(exits(), asyncio.sleep(0))


@row(value=b'"RuntimeError"')
async def exits_in_an_asyncio_task_when_that_is_cancelled(task: Task) -> str:
    async def exits() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None

    made = asyncio.create_task(exits())
    await asyncio.sleep(0)
    made.cancel()
    await asyncio.wait([made])
    return type(made.exception()).__name__


@row("error", f"KeyboardInterrupt{PLACE}")
async def interrupts(task: Task) -> None:
    raise KeyboardInterrupt


@row("error", f"BaseException: base{PLACE}")
async def raises_base_exception(task: Task) -> None:
    raise BaseException("base")


@row("error", f"MemoryError{PLACE}")
async def has_no_memory(task: Task) -> None:
    raise MemoryError


@row("error", rf"MemoryError.*{PLACE}")
async def wants_too_much_memory(task: Task) -> bytes:
    return bytes(2**62)


@row("error", f"GeneratorExit{PLACE}")
async def raises_generator_exit(task: Task) -> None:
    raise GeneratorExit


@row("error", "RuntimeError: coroutine raised StopIteration")
async def raises_stop_iteration(task: Task) -> None:
    raise StopIteration(5)


@row("error", rf"RecursionError: maximum recursion depth exceeded.*{PLACE}", log="previous|Previous")
async def recurses(task: Task) -> None:
    def deeper(level: int) -> int:
        return deeper(level + 1) + 1

    deeper(0)


@row("error", f"TimeoutError{PLACE}")
async def has_a_time_limit_of_its_own(task: Task) -> None:
    async with asyncio.timeout(0.001):
        await asyncio.sleep(3600)


@row("error", rf"ExceptionGroup: two \(2 sub-exceptions\){PLACE}", log="ValueError: first(.|\n)*KeyError")
async def raises_a_group(task: Task) -> None:
    raise ExceptionGroup("two", [ValueError("first"), KeyError("second")])


@row("error", "no such star")
async def fails_in_words_of_its_own(task: Task) -> None:
    raise TaskError("no such star")


# -- exceptions that do not want to be described


class Rude(Exception):
    """Its text is what it is made with, whatever that does."""

    def __str__(self) -> str:
        text: str = self.args[0]()
        return text


def _refuse(error: BaseException) -> NoReturn:
    raise error


@row("error", rf"Rude: \(no text: its __str__ raised ValueError\){PLACE}", log="Rude")
async def has_no_text(task: Task) -> None:
    raise Rude(lambda: _refuse(ValueError("no")))


@row("error", rf"Rude: \(no text: its __str__ raised SystemExit\){PLACE}", log="SystemExit")
async def exits_when_asked_for_its_text(task: Task) -> None:
    raise Rude(lambda: _refuse(SystemExit(3)))


@row("error", rf"Rude: \(no text: its __str__ raised TypeError\){PLACE}")
async def has_a_text_that_is_none(task: Task) -> None:
    raise Rude(lambda: 5)


class Endless:
    """A `__repr__` without end."""

    def __repr__(self) -> str:
        return repr(self) + "."


@row("error", rf"KeyError: \(no text: its __str__ raised RecursionError\){PLACE}")
async def has_a_text_without_end(task: Task) -> None:
    raise KeyError(Endless())


@row("error", "ValueError: x{3,4}")
async def has_a_text_of_ten_megabytes(task: Task) -> None:
    raise ValueError("x" * 10**7)


class OddText(str):
    """A str that fails whoever works with it."""

    __slots__ = ()

    def __getitem__(self, key: Any) -> str:
        raise SystemExit(5)

    def encode(self, *_: Any) -> bytes:
        raise SystemExit(5)

    def isprintable(self) -> bool:
        raise SystemExit(5)


@row("error", f"Rude: odd{PLACE}")
async def has_a_text_that_bites(task: Task) -> None:
    raise Rude(lambda: OddText("odd"))


class _Nameless(type):
    @property
    def __name__(cls) -> str:
        raise SystemExit(6)


class NamelessError(Exception, metaclass=_Nameless):
    """Its class does not tell its name."""


@row("error", f"NamelessError: here{PLACE}")
async def has_a_class_without_a_name(task: Task) -> None:
    raise NamelessError("here")


class PretenderError(Exception):
    """Says of what class it is by raising."""

    @property
    def __class__(self) -> Any:
        raise SystemExit(7)

    @__class__.setter
    def __class__(self, value: Any) -> None:
        raise SystemExit(7)


@row("error", f"PretenderError: here{PLACE}")
async def pretends_to_be_of_another_class(task: Task) -> None:
    raise PretenderError("here")


@row("error", f"ValueError: last{PLACE}")
async def has_ten_thousand_causes(task: Task) -> None:
    error = ValueError("first")
    for _ in range(10_000):
        later = ValueError("next")
        later.__cause__ = error
        error = later
    raise ValueError("last") from error


# -- texts


@row("error", f"ValueError: cannot read caf\ufffd\\.fits{PLACE}", log="caf\ufffd")
async def has_half_a_surrogate_pair(task: Task) -> None:
    raise ValueError("cannot read caf\udce9.fits")


@row("error", f"ValueError: a\u2400b\u241bc\ufffdd\ufffde{PLACE}")
async def has_control_characters(task: Task) -> None:
    raise ValueError("a\x00b\x1bc\u202ed\u061ce")


@row("error", "nul \u2400 left-to-right \ufffd")
async def fails_in_words_that_turn_round(task: Task) -> None:
    raise TaskError("nul \x00 left-to-right \u2066")


@row(value=b'"done"', progress="caf\ufffd \u2400 \ufffd")
async def tells_progress_that_cannot_be_encoded(task: Task) -> str:
    task.progress(0.5, "caf\udce9 \x00 \u202e")
    return "done"


@row(value=b'"done"', progress="odd")
async def tells_progress_in_numbers_that_are_none(task: Task) -> str:
    for fraction in (float("nan"), float("inf"), -float("inf"), True, decimal.Decimal("0.5")):
        task.progress(fraction, OddText("odd"))  # type: ignore[arg-type]
    return "done"


@row("error", f"TypeError: the message of a progress is a str{PLACE}")
async def tells_progress_in_bytes(task: Task) -> None:
    task.progress(0.5, b"half")  # type: ignore[arg-type]


@row(value=b'"done"', progress="from a thread")
async def tells_progress_from_a_thread(task: Task) -> str:
    await asyncio.to_thread(task.progress, 0.5, "from a thread")
    return "done"


@row(value=b'"done"')
async def names_a_result_that_cannot_be_encoded(task: Task) -> str:
    task.create_result(b"1", name="caf\udce9")
    return "done"


@row(value=b'"done"')
async def labels_a_subtask_with_what_cannot_be_encoded(task: Task) -> str:
    task.submit("other", 1, labels={"caf\udce9": "\x00"})
    return "done"


@row("error", r"Invalid: subtasks\[1\]\.options\.function: Expected a function such as 'measure'.*")
async def submits_to_a_function_that_cannot_be_encoded(task: Task) -> None:
    task.submit("other", 1)
    task.submit("caf\udce9", 1)


@row("error", rf"TypeError: the name of a result is a str{PLACE}")
async def names_a_result_by_a_number(task: Task) -> None:
    task.create_result(1, name=5)  # type: ignore[arg-type]


@row(log=r"1048576|bytes more were not kept")
async def prints_without_end(task: Task) -> None:
    for _ in range(64):
        sys.stdout.write("x" * 2**20)


@row(log="caf\\\\udce9 \u2400")
async def prints_what_cannot_be_encoded(task: Task) -> None:
    print("caf\udce9 \x00")


# -- cancellations


@row("error", f"CancelledError{PLACE}")
async def cancels_itself(task: Task) -> None:
    _me().cancel()
    await asyncio.sleep(3600)


@row(value=b'"caught"')
async def cancels_itself_and_catches_it(task: Task) -> str:
    asyncio.get_running_loop().call_later(0.001, _me().cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(3600)
    return "caught"


@row(value=b'"early"')
async def cancels_itself_when_it_has_ended(task: Task) -> str:
    asyncio.get_running_loop().call_later(0.001, _me().cancel)
    return "early"


@row(value=b'"early"')
async def cancels_itself_and_returns(task: Task) -> str:
    _me().cancel()
    return "early"


@row("error", f"CancelledError{PLACE}", log="^((?!worker/coroutine).)*$")
async def awaits_what_was_cancelled(task: Task) -> None:
    inner = asyncio.get_running_loop().create_future()
    inner.cancel()
    await inner


@row("timeout", "it took longer than 0.05 s", max_duration=0.05)
async def sleeps_too_long(task: Task) -> None:
    await asyncio.sleep(3600)


@row("timeout", "it took longer than 0.05 s", max_duration=0.05)
async def returns_when_its_time_is_over(task: Task) -> str:
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(3600)
    await asyncio.sleep(0.01)
    return "late"


@row("timeout", "it took longer than 0.05 s", max_duration=0.05)
async def takes_its_cancellation_back(task: Task) -> str:
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(3600)
    _me().uncancel()
    return "late"


@row("timeout", "it took longer than 0.05 s", max_duration=0.05)
async def does_not_end(task: Task) -> None:
    while True:
        with contextlib.suppress(BaseException):
            await asyncio.sleep(0.01)


def _me() -> "asyncio.Task[Any]":
    me = asyncio.current_task()
    assert me is not None
    return me


# -- values


@row("error", r"returns_nan: return value \$\.a\[3\]: nan is no number in JSON")
async def returns_nan(task: Task) -> object:
    return {"a": [None, 1, 2.5, float("nan")]}


@row("error", r"returns_infinity: return value \$: -inf is no number in JSON")
async def returns_infinity(task: Task) -> float:
    return -float("inf")


@row("error", r"returns_a_key_that_is_none: return value \$, a key: nan is no number in JSON")
async def returns_a_key_that_is_none(task: Task) -> object:
    return {float("nan"): 1}


@row("error", r"returns_a_long_integer: return value \$\.n: an integer of about 5000 digits.*")
async def returns_a_long_integer(task: Task) -> object:
    return {"n": 10**5000}


@row(value=b"5000", payload=b'{"n": ' + b"7" * 5000 + b"}")
async def reads_a_long_integer(task: Task) -> int:
    return task.payload["n"] == 7 * (10**5000 - 1) // 9 and 5000


@row("error", r"returns_an_object: return value \$: Encoding objects of type object is unsupported")
async def returns_an_object(task: Task) -> object:
    return object()


@row("error", r"returns_half_a_surrogate_pair: return value \$\[0\]: the character '\\udce9' cannot be encoded")
async def returns_half_a_surrogate_pair(task: Task) -> object:
    return ["caf\udce9"]


@row("error", r"returns_itself: return value .*it is nested too deep, or contains itself")
async def returns_itself(task: Task) -> object:
    value: list[Any] = []
    value.append(value)
    return value


@row("error", r"returns_a_generator: return value \$: Encoding objects of type generator is unsupported")
async def returns_a_generator(task: Task) -> object:
    return (n for n in range(3))


@row("error", r"returns_what_was_never_awaited: return value \$: Encoding objects of type coroutine is unsupported")
async def returns_what_was_never_awaited(task: Task) -> object:
    return asyncio.sleep(0)


@row("error", rf"ValueError: subtasks\[0\]\.payload \$\.x: nan is no number in JSON{PLACE}")
async def submits_nan(task: Task) -> None:
    task.submit("other", {"x": float("nan")})


@row("error", rf"ValueError: the value of the result 'r' \$: inf is no number in JSON{PLACE}")
async def creates_a_result_of_infinity(task: Task) -> None:
    task.create_result(float("inf"), name="r")


@row("error", "its return value has more than 268435456 bytes")
async def returns_a_gigabyte(task: Task) -> bytes:
    return bytes(2**30)


@row(value=b"x" * 10)
async def returns_a_view(task: Task) -> object:
    return memoryview(b"x" * 20)[::2]


# -- copies of the process


@row(value=b'"the worker"')
async def forks_and_both_return(task: Task) -> str:
    return "the worker" if os.fork() else "its copy"


@row(value=b'"the worker"')
async def forks_and_the_copy_exits(task: Task) -> str:
    if not os.fork():
        sys.exit(0)
    return "the worker"


@row(value=b'"the worker"')
async def forks_and_the_copy_waits(task: Task) -> str:
    copy = not os.fork()
    await asyncio.sleep(0.001)
    return "its copy" if copy else "the worker"


@row(value=b"0")
async def forks_and_the_copy_does_some_work(task: Task) -> int:
    if not (copy := os.fork()):
        os.execvp("true", ["true"])
    return os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1])


# -- what belongs to the process


@row(log="after")
async def closes_its_streams(task: Task) -> None:
    sys.stdout.close()
    sys.stderr.close()
    with contextlib.suppress(OSError):
        sys.stdout.detach()
    print("after")


@row()
async def replaces_stdout(task: Task) -> None:
    sys.stdout = sys.stderr = None  # type: ignore[assignment]


@row()
async def goes_elsewhere(task: Task) -> None:
    os.chdir("/")


@row()
async def changes_the_umask(task: Task) -> None:
    os.umask(0o777)


@row()
async def lowers_a_limit(task: Task) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (16, hard))


@row()
async def ignores_a_signal(task: Task) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)


@row("error", rf"OSError: \[Errno 24\] Too many open files.*{PLACE}")
async def opens_ten_thousand_files(task: Task) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    with contextlib.ExitStack() as files:
        for _ in range(10_000):
            files.enter_context(open(os.devnull, "rb"))


@row()
async def allows_no_recursion(task: Task) -> None:
    sys.setrecursionlimit(80)


@row()
async def changes_the_event_loop_policy(task: Task) -> None:
    class Policy(asyncio.DefaultEventLoopPolicy):
        def new_event_loop(self) -> asyncio.AbstractEventLoop:
            raise RuntimeError("no loop")

    asyncio.set_event_loop_policy(Policy())


@row()
async def changes_what_is_left_of_the_process(task: Task) -> None:
    gc.disable()
    gc.set_threshold(1)
    socket.setdefaulttimeout(1e-6)
    sys.setswitchinterval(1.0)
    locale.setlocale(locale.LC_ALL, "C")


secret: ContextVar[str] = ContextVar("secret", default="")


@row(value=b'""')
async def sets_a_context_variable(task: Task) -> str:
    seen = secret.get()
    secret.set("of this task")
    return seen


@row()
async def blocks_the_loop_for_a_while(task: Task) -> None:
    time.sleep(0.2)


@row(fatal=True)
async def sets_an_alarm(task: Task) -> None:
    """The timer is the process's own."""
    signal.setitimer(signal.ITIMER_REAL, 0.5)


# -- what goes on after the end


@row()
async def leaves_a_thread(task: Task) -> None:
    threading.Thread(target=threading.Event().wait, daemon=True).start()


@row(log="mine")
async def leaves_a_thread_that_prints(task: Task) -> None:
    print("mine")
    asyncio.get_running_loop().run_in_executor(None, print, "too late")


@row("timeout", "it took longer than 0.05 s", max_duration=0.05)
async def leaves_a_thread_of_the_loop(task: Task) -> None:
    """Which goes on for a while: a thread cannot be stopped."""
    await asyncio.to_thread(threading.Event().wait, 0.5)


left: set[asyncio.Task[None]] = set()


@row()
async def leaves_an_asyncio_task_that_prints(task: Task) -> None:
    async def prints() -> None:
        await asyncio.sleep(0.005)
        print("too late")
        task.progress(0.9, "too late")
        task.submit("too late")

    left.add(asyncio.create_task(prints()))


@row(fatal=True)
async def leaves_a_thread_that_keeps_the_process(task: Task) -> None:
    threading.Thread(target=threading.Event().wait).start()


# -- what ends the process of the worker, which nothing can prevent


@row(fatal=True)
async def asks_the_worker_to_end(task: Task) -> None:
    """It drains, and this is among what it finishes."""
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.sleep(0.2)


@row("lost", fatal=True)
async def signals_its_own_process(task: Task) -> None:
    os.kill(os.getpid(), signal.SIGUSR1)
    await asyncio.sleep(3600)


@row("lost", fatal=True)
async def ends_the_process(task: Task) -> None:
    os._exit(3)


@row("lost", fatal=True)
async def kills_the_process(task: Task) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@row("lost", fatal=True)
async def aborts(task: Task) -> None:
    os.abort()


@row("lost", fatal=True)
async def reads_where_nothing_is(task: Task) -> None:
    import ctypes

    ctypes.string_at(0)


@row("lost", fatal=True)
async def closes_all_descriptors(task: Task) -> None:
    os.closerange(0, 4096)
    await asyncio.sleep(3600)


@row("lost", fatal=True)
async def cancels_everything(task: Task) -> None:
    for each in asyncio.all_tasks():
        each.cancel()
    await asyncio.sleep(3600)


@row("lost", fatal=True)
async def stops_the_loop(task: Task) -> None:
    asyncio.get_running_loop().stop()
    await asyncio.sleep(3600)
