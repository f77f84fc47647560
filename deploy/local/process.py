"""One child process: its own process group and log file, stopped with everything that it has started."""

import asyncio
import contextlib
import os
import pwd
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from deploy.local.janitor import Janitor
from shared.runtime.retry import Backoff, retry

WORKERS, SERVICES, SERVERS = 0, 1, 2
"""The tiers, in the order in which they are stopped."""

BACKOFF = Backoff(first=0.2, ceiling=10)
STABLE = 30.0
"""Seconds after which a process counts as stable: its next end is its first, and the pause is short again."""


UMASK = 0o077
"""What a process makes is for its owner only, wherever it makes it."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """A program to run as a child process.

    user     the uid to run it as; None: ours
    inherit  whether it gets our environment (without our own settings), or `env` alone
    grace    seconds between its stop signal and SIGKILL
    """

    name: str
    argv: tuple[str, ...]
    tier: int
    env: Mapping[str, str] = {}
    inherit: bool = True
    cwd: Path | None = None
    user: int | None = None
    stop: int = signal.SIGTERM
    grace: float = 10.0


class Event(msgspec.Struct, frozen=True):
    """The state that a process, or the disk, has come into: `starting`, `ready`, `died`, `renewed`, `restarting`, `stopped`. `detail` is for people."""

    name: str
    state: str
    detail: str = ""


OnEvent = Callable[[Event], None]


class Process:
    """Started by `start`, watched by `keep_running` (which starts it again when it ends), ended by `stop` or `kill`."""

    def __init__(self, command: Command, log: Path, janitor: Janitor, on_event: OnEvent) -> None:
        self.command, self.name, self.log = command, command.name, log
        self._janitor, self._on_event = janitor, on_event
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._ended = False
        self._restart_reason = ""
        self._start_requested = asyncio.Event()
        if log.exists():
            log.replace(log.with_name(log.name + ".1"))

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self.running and self._process else None

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.returncode is None

    @property
    def returncode(self) -> int | None:
        """The status of the last run; None while it runs or before it was started."""
        return None if self._process is None else self._process.returncode

    async def start(self) -> None:
        """Starts the process, without waiting until it is ready for use."""
        self._ended = False
        command = self.command
        identity: dict[str, Any] = {}
        if command.user is not None:
            identity = {"user": command.user, "group": pwd.getpwuid(command.user).pw_gid, "extra_groups": []}
        self.log.touch(mode=0o600)
        with self.log.open("ab") as out:
            self._process = await asyncio.create_subprocess_exec(
                *command.argv,
                env={**_environment(command.inherit), **command.env},
                cwd=command.cwd,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                process_group=0,
                umask=UMASK,
                **identity,
            )
        self._janitor.watch(self._process.pid, command.tier, command.stop, command.grace)

    async def wait(self) -> int:
        """Waits until it has ended, and ends what it left behind in its group."""
        assert self._process is not None
        code = await self._process.wait()
        self.signal(signal.SIGKILL)
        self._janitor.forget(self._process.pid)
        return code

    def keep_running(self, on_restart: Callable[[], None] | None = None) -> None:
        """From now on starts it again whenever it ends. `on_restart` is called after each new start."""
        self._keeper = asyncio.create_task(self._keep_running(on_restart), name=f"keep {self.name}")

    async def _keep_running(self, on_restart: Callable[[], None] | None) -> None:
        loop = asyncio.get_running_loop()
        tries = 0
        while True:
            began = loop.time()
            code = await self.wait()
            if self._ended:
                return
            tries = 0 if loop.time() - began > STABLE else tries + 1
            await self._pause(code, BACKOFF.delay(tries))
            await self._start_again()
            self._on_event(Event(self.name, "restarting"))
            if on_restart is not None:
                on_restart()

    async def _pause(self, code: int, delay: float) -> None:
        """The pause before the next start; none if a restart was asked for."""
        if self._restart_reason:
            self._on_event(Event(self.name, "renewed", self._restart_reason))
            self._restart_reason = ""
            return
        self._start_requested.clear()
        self._on_event(Event(self.name, "died", f"{ending(code)}; again in {delay:.1f} s; see {self.log}"))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._start_requested.wait()

    async def _start_again(self) -> None:
        """Starts it; repeats that while the machine is out of processes or memory."""

        def failed(error: BaseException, tries: int) -> None:
            self._on_event(Event(self.name, "died", f"cannot be started: {error}"))

        await retry(self.start, on=(OSError,), backoff=BACKOFF, failed=failed)

    def signal(self, number: int) -> None:
        """Sends a signal to the process and to all that it has started."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    async def kill(self) -> None:
        """SIGKILL. A process that is kept running is started again."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            await self._process.wait()

    async def restart(self, reason: str) -> None:
        """Ends a process that is kept running, as `stop` does, so that it is started again. `reason` is for people."""
        if self.running:
            self._restart_reason = reason
            await self._end(self.command.stop)

    def start_now(self) -> None:
        """Ends the pause before the next start, if there is one."""
        self._start_requested.set()

    async def stop(self, *, kill: bool = False) -> None:
        """Ends it for good: its own stop signal, then SIGKILL when its grace is over, or at once if `kill`. Harmless when repeated."""
        self._ended = True
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
            self._keeper = None
        if self._process is None:
            return
        if self.running:
            await self._end(signal.SIGKILL if kill else self.command.stop)
        await self.wait()

    async def _end(self, number: int) -> None:
        assert self._process is not None
        process = self._process
        self.signal(number)
        try:
            async with asyncio.timeout(self.command.grace):
                await process.wait()
        except TimeoutError:
            self._on_event(Event(self.name, "killed", f"did not end within {self.command.grace:g} s"))
            self.signal(signal.SIGKILL)
            await process.wait()

    def tail(self, lines: int = 15) -> str:
        """The last `lines` lines of its log."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return ""


def _environment(inherit: bool) -> dict[str, str]:
    """Our environment without HEADRACE_ variables, so that a child has exactly the settings that it is given; or the minimum."""
    if not inherit:
        return {key: os.environ[key] for key in ("PATH", "TMPDIR", "TZ") if key in os.environ}
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HEADRACE_")}
    # A proxy of this machine is not asked for what is on loopback.
    direct = ",".join(filter(None, (kept.get("NO_PROXY") or kept.get("no_proxy"), "127.0.0.1,localhost")))
    return {**kept, "NO_PROXY": direct, "no_proxy": direct, "PYTHONUNBUFFERED": "1"}


def ending(code: int) -> str:
    """How a process ended, for people."""
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
