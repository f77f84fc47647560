"""Commands that misbehave: tasks of `exec`. Most are lines for the shell."""

import sys
from typing import Any

import msgspec

from shared.contracts.work import Command, Limits
from tests.support.behaviours.case import Case

STATUS = "the command ended with status "
KILLED = "the command was killed by "
LATE = "it took longer than 0.4 s"


def case(name: str, script: str, ends: str = "completed", text: str = "", **more: Any) -> Case:
    """A line of the shell. What it leaves in `x` is its output."""
    return _case(name, ["sh", "-c", script], ends, text, **more)


def python(name: str, code: str, ends: str = "completed", text: str = "", **more: Any) -> Case:
    return _case(name, [sys.executable, "-I", "-S", "-c", code], ends, text, **more)


def _case(name: str, command: list[str], ends: str, text: str, **more: Any) -> Case:
    limits = more.pop("limits", Limits())
    payload = msgspec.json.encode(Command(command, outputs=["x"], limits=limits))
    return Case(name, ends, text, payload=payload, **more)


WELL = {"value": b"well\n"}
CASES = [
    # Ends.
    case("fails", "echo why >&2; exit 3", "error", f"{STATUS}3\nwhy", log="why"),
    case("kills_itself", "kill -KILL $$", "error", f"{KILLED}SIGKILL"),
    case("ends_itself", "kill -TERM $$", "error", f"{KILLED}SIGTERM"),
    case("interrupts_itself", "kill -INT $$", "error", f"{KILLED}SIGINT"),
    case("crashes", "kill -SEGV $$", "error", f"{KILLED}SIGSEGV"),
    case("aborts", "kill -ABRT $$", "error", f"{KILLED}SIGABRT"),
    case("kills_its_group", "kill -KILL 0", "error", f"{KILLED}SIGKILL"),
    case("stops_itself", "kill -STOP $$", "timeout", LATE, max_duration=0.4),
    case("stops_its_launcher", "kill -STOP $PPID; sleep 3600", "timeout", LATE, max_duration=0.4),
    case("hangs", "sleep 3600", "timeout", LATE, max_duration=0.4),
    case("ignores_signals", "trap '' TERM INT HUP; while :; do :; done", "timeout", LATE, max_duration=0.4),
    case(
        "kills_its_launcher",
        "kill -KILL $PPID; sleep 3600",
        "lost",
        r"the process that ran it was killed by SIGKILL \(status -9\)",
    ),
    _case("is_not_there", ["no-such-program"], "error", "cannot run 'no-such-program': No such file or directory"),
    _case("is_a_folder", ["/etc"], "error", "cannot run '/etc': Permission denied"),
    python("exits", "import sys; sys.exit(1)", "error", f"{STATUS}1"),
    python("raises", "raise ValueError('no star')", "error", rf"{STATUS}1\n(.|\n)*ValueError: no star"),
    python("recurses", "f = lambda: f()\nf()", "error", rf"{STATUS}1\n(.|\n)*RecursionError"),
    python("forks_and_both_return", "import os; os.fork(); open('x', 'w').write('well\\n')", **WELL),
    python("forks_a_terminal", "import pty; pty.fork(); open('x', 'w').write('well\\n')", **WELL),
    # What goes on after the end.
    case("leaves_a_process", "sleep 3600 & echo well > x", **WELL),
    case("leaves_a_process_in_a_session", "setsid sleep 3600 & echo well > x", **WELL),
    case("leaves_a_daemon", "(setsid sh -c 'setsid sleep 3600 &' &); echo well > x", **WELL),
    case("leaves_a_process_that_prints", "setsid sh -c 'while :; do echo left over; done' & echo well > x", **WELL),
    case("leaves_a_process_when_stopped", "setsid sleep 3600 & wait", "timeout", LATE, max_duration=0.4),
    python(
        "forks_a_little_bomb",
        "import os, time\nme = os.getpid()\nfor _ in range(5): os.fork()\nopen('x', 'w').write('well\\n') if os.getpid() == me else time.sleep(60)",
        **WELL,
    ),
    # Limits.
    python(
        "has_no_memory",
        "bytearray(2**30)",
        "error",
        rf"{STATUS}1\n(.|\n)*MemoryError",
        limits=Limits(memory_bytes=2**28),
    ),
    case(
        "computes_too_long",
        "while :; do :; done",
        "error",
        f"{KILLED}SIGXCPU: it used more than its cpu_seconds",
        limits=Limits(cpu_seconds=1),
    ),
    case(
        "writes_too_much",
        "head -c 1000000 /dev/zero > x",
        "error",
        "(?s).*(SIGXFSZ|File too large|status)",
        limits=Limits(file_bytes=1000),
    ),
    python(
        "lowers_its_limits",
        "import resource as r; r.setrlimit(r.RLIMIT_NOFILE, (4, 4)); open('x', 'w').write('well\\n')",
        **WELL,
    ),
    case("dumps_no_core", "sh -c 'kill -SEGV $$'; test -z \"$(ls)\" && echo well > x", **WELL),
    # Its folder and its outputs.
    case("makes_no_output", "true", "error", "the command has not made its output 'x'"),
    case("links_its_output", "ln -s /etc/passwd x", "error", "the output 'x' is not a file"),
    case("links_its_output_to_itself", "ln -s x x", "error", "the output 'x' is not a file"),
    case("makes_a_pipe", "mkfifo x", "error", "the output 'x' is not a file"),
    case("makes_a_folder", "mkdir x", "error", "the output 'x' is not a file"),
    case("removes_its_folder", "rm -rf $PWD", "error", "the command has not made its output 'x'"),
    case("locks_its_folder", "mkdir -p a/b; chmod 0 a; echo well > x; chmod 0 .", **WELL),
    case("nests_deeply", "for n in $(seq 300); do mkdir d; cd d; done; echo well > $HOME/x", **WELL),
    case("changes_its_mask", "umask 777; echo well > x; chmod 600 x", **WELL),
    case("leaves_temporary_files", "echo secret > $TMPDIR/left; echo well > x", **WELL),
    # Its streams.
    case("closes_its_streams", "exec 0<&- 1>&- 2>&-; echo well > x", **WELL),
    case(
        "writes_to_all_descriptors",
        "for n in 3 4 5 6 7 8 9; do echo garbage >&$n; done 2> /dev/null; echo well > x",
        **WELL,
    ),
    case(
        "writes_to_its_launchers",
        "for n in 0 1 2 3 4 5; do echo garbage > /proc/$PPID/fd/$n; done 2> /dev/null; echo well > x",
        **WELL,
    ),
    case("reads_its_input", "cat > x; echo well >> x", **WELL),
    case("prints_without_newline", "head -c 20000000 /dev/zero; echo well > x", log="bytes more were not kept", **WELL),
    case("prints_without_end", "cat /dev/zero", "timeout", LATE, max_duration=0.4),
    case("prints_what_is_no_text", r"printf 'caf\351\033[2J\n'; echo well > x", log="caf.*\u241b\\[2J", **WELL),
    case(
        "fails_with_what_is_no_text", r"printf 'caf\351\033[2J\n' >&2; exit 1", "error", f"{STATUS}1\ncaf.*\u241b\\[2J"
    ),
    case("prints_long_before_it_fails", "seq 100000 >&2; exit 1", "error", rf"{STATUS}1\n99981\n(.|\n)*100000"),
]
