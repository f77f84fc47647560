"""Runs one command for a worker and leaves nothing behind, whatever becomes of the worker: `python -I -S launch.py`.

One process for each command, in a session of its own. It knows the standard library only, and has none of the worker's
environment. Its standard input is a socket to the worker; by it passes, JSON by the line:

    → {"folder"}                                    a fresh folder: `work` (where the command runs), `tmp`, `stdin`
    ← {"command", "env", "limits", "stdin", "stdout"}
    → {"began"}                                     the command's process, which leads a session of its own
    → {"status"}                                    how it ended (minus the signal's number); or
    → {"refused"}                                   why it cannot be run; or
    → {"shortage"}                                    why nothing can be run here now
    → {"gone": true}                                nothing of it lives any more

The command's standard output goes where ours does, unless it goes to a file, and so does its standard error. When our standard
input ends (the worker has what it wants, or wants no more, or is dead) all that came of the command is killed, and the folder
removed. Sub-processes that leave the command's session are found too: on Linux the orphans of a session become ours.

The command has no other descriptor, and cannot take ours: a socket is not opened by its name in /proc, and this process is not
for others of its user to read. What ends a command also ends a child process of `child`: the functions without underscore.
"""

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import resource
import select
import signal
import sys
import time
from typing import Any

PARENT_DEATH, SUBREAPER, DUMPABLE = 1, 36, 4
LIMITS = {
    "memory_bytes": resource.RLIMIT_AS,
    "cpu_seconds": resource.RLIMIT_CPU,
    "file_bytes": resource.RLIMIT_FSIZE,
    "processes": resource.RLIMIT_NPROC,
}
PATIENCE = 30.0
"""Seconds in which everything must have died of SIGKILL; what has not is not ours to kill (another user's)."""
SCARCE = frozenset({errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""Errors that mean that the machine, or the worker's user, has no more of something."""


def prctl(what: int, value: int) -> None:
    """The system call of that name with one argument; nothing where it is not Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(what, value, 0, 0, 0)


def die_with(parent: int) -> None:
    """SIGKILL for this process as soon as its parent has died."""
    prctl(PARENT_DEATH, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def hide() -> None:
    """Keeps other processes of the same user from reading this one's memory and environment."""
    prctl(DUMPABLE, 0)


def heed_signals(*kept: int) -> None:
    """Ignores and blocks no signal but `kept`: who started the worker (a shell's `&`, nohup) may have passed that on."""
    for number in signal.valid_signals() - set(kept):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def become_reaper() -> int:
    """Orphans among our descendants become our children. Returns a descriptor that can be read when a child has ended.

    If the worker dies while somebody has stopped us, we go on: there is something to clean up.
    """
    prctl(SUBREAPER, 1)
    prctl(PARENT_DEATH, signal.SIGCONT)
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    signal.set_wakeup_fd(writes, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return reads


def lift(fd: int, lowest: int) -> int:
    """Moves a descriptor to another number, at least `lowest` if that is allowed; it is not inherited by sub-processes."""
    try:
        lifted = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, lowest)
    except OSError:
        lifted = os.dup(fd)
    os.close(fd)
    return lifted


def _limit(limits: dict[str, int]) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name, value in limits.items():
        if value:
            _, hard = resource.getrlimit(LIMITS[name])
            most = value if hard == resource.RLIM_INFINITY else min(value, hard)
            above = most + 1 if name == "cpu_seconds" and most != hard else most  # there the hard limit kills unnamed
            resource.setrlimit(LIMITS[name], (most, above))


class Refused(Exception):
    """The command cannot be run: `number` is the error's."""

    def __init__(self, number: int) -> None:
        super().__init__(os.strerror(number))
        self.number = number


def begin(job: dict[str, Any], root: str) -> int:
    """Starts the command; its process id. Refused if this command cannot be run; OSError if none can."""
    reads, writes = os.pipe()
    me = os.getpid()
    pid = os.fork()
    if pid:
        os.close(writes)
        with os.fdopen(reads, "rb") as pipe:
            why = pipe.read()
        if why.isdigit():  # root's commands can write here
            os.waitpid(pid, 0)
            raise Refused(int(why))
        return pid
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        heed_signals()
        os.dup2(os.open(f"{root}/stdin" if job["stdin"] else os.devnull, os.O_RDONLY), 0)
        if job["stdout"]:
            os.dup2(os.open(f"{root}/stdout", os.O_WRONLY | os.O_CREAT, 0o600), 1)
        os.chdir(f"{root}/work")
        die_with(me)
        _limit(job["limits"])
        os.closerange(3, writes)
        os.closerange(writes + 1, 256)  # there is nothing, as far as we know
        os.execvpe(job["command"][0], job["command"], job["env"])  # noqa: S606 (the point of it)
    except OSError as error:
        os.write(writes, b"%d" % (error.errno or 1))
    except BaseException:
        os.write(writes, b"1")
    os._exit(127)


def children() -> list[int]:
    """All processes whose parent we are, orphans that we were given among them."""
    found = []
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else ():
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    parent = int(file.read().rpartition(b") ")[2].split()[1])
            except OSError:
                continue
            if parent == os.getpid():
                found.append(int(name))
    return found


def _kill(*pids: int) -> None:
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def end(pid: int, known: int | None) -> int | None:
    """Kills the command and all its descendants; returns its status, or `known`."""
    _kill(-pid)
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            ended, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if ended == pid:
            known = os.waitstatus_to_exitcode(status)
        elif not ended:
            _kill(-pid, *children())
            time.sleep(0.002)
    return known


def wait(pid: int, wake: int) -> tuple[int | None, bool]:
    """Until the command has ended, or our input has: its status, if it has one; and whether the worker still listens."""
    while True:
        ready, _, _ = select.select([0, wake], [], [])
        if wake in ready:
            os.read(wake, 4096)
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status), True
        if 0 in ready and not os.read(0, 4096):
            return None, False


def _remove(path: str) -> None:
    os.chmod(path, 0o700)
    with os.scandir(path) as entries:
        for entry in list(entries):
            if entry.is_dir(follow_symlinks=False):
                _remove(entry.path)
            else:
                os.unlink(entry.path)
    os.rmdir(path)


def send(**message: object) -> None:
    """Sends one message to the worker, as a line of JSON."""
    with contextlib.suppress(OSError):  # the worker is dead: what remains is to clean up
        os.write(0, json.dumps(message).encode() + b"\n")


def receive_line() -> bytes:
    """The next line from the worker; empty when it has closed the socket."""
    data = b""
    while not data.endswith(b"\n"):
        chunk = os.read(0, 65536)
        if not chunk:
            return b""
        data += chunk
    return data


def serve(root: str, wake: int) -> None:
    """Runs the command that the worker sends, in the folder `root`. `wake`: the descriptor of `become_reaper`."""
    line = receive_line()
    if not line:
        return
    job = json.loads(line)
    try:
        pid = begin(job, root)
    except Refused as refused:
        # Too little memory for a program may be the command's own limit.
        own = refused.number == errno.ENOMEM and job["limits"]["memory_bytes"]
        scarce = refused.number in SCARCE and not own
        send(**{"shortage" if scarce else "refused": str(refused)})
    except OSError as error:
        send(shortage=error.strerror)
    else:
        send(began=pid)
        status, listens = wait(pid, wake)
        status = end(pid, status)
        if listens:
            send(status=status)
    os.close(1)
    send(gone=True)
    while os.read(0, 65536):  # until the worker has what it wants
        pass


def main() -> None:
    """Makes the folder, runs one command, and removes the folder."""
    hide()
    wake = become_reaper()
    root = os.path.join(os.environ["TMPDIR"], f"headrace-{os.urandom(12).hex()}")
    try:
        for folder in (root, os.path.join(root, "work"), os.path.join(root, "tmp")):
            os.mkdir(folder, 0o700)
        send(folder=root)
        serve(root, wake)
    except OSError as error:
        send(shortage=f"{root}: {error.strerror}")
    finally:
        if os.path.isdir(root):
            try:
                _remove(root)
            except (OSError, RecursionError):  # somebody's file, or too deep
                os.execvp("rm", ["rm", "-rf", root])  # noqa: S606


if __name__ == "__main__":
    main()
