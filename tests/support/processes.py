"""The whole system from outside: a stack of its own, the services and workers as real processes, one log each.

A process that died fails the test, unless the test killed it.
"""

import json
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self, TypeVar
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import msgspec
from nats.aio.client import Client

from deploy.local import system
from deploy.local.process import Command, Process, ending
from deploy.local.stack import Stack
from shared.contracts.subjects import SERVICES
from tests.support.servers import of_stack
from tests.support.wait import LIMIT, wait_until

T = TypeVar("T")
SMALL = {"archiver": {"HEADRACE_DATABLOCK_MIB": "1"}}
"""Small datablocks, so that the little that a test archives is more than one."""


class Processes:
    """`async with Processes(folder) as system: await system.start(workers=2)`."""

    def __init__(self, home: Path, *, imports: Collection[str] = ()) -> None:
        self.stack = Stack(home, throwaway=True, imports=imports)
        self.processes: dict[str, Process] = {}
        self._killed: set[str] = set()
        self.restarts: Counter[str] = Counter()

    async def __aenter__(self) -> Self:
        await self.stack.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.check()
        finally:
            await self.stack.close()

    @property
    def http(self) -> str:
        return self.stack.http

    @property
    def token(self) -> str:
        return self.stack.home.token_file.read_text().strip()

    async def bus(self, user: str = "admin", **options: Any) -> Client:
        """A plain connection to the bus; the caller closes it. `options`: of nats-py's `connect`."""
        return await of_stack(self.stack).connect(user, **options)

    # -- our own processes

    async def start(
        self,
        *services: str,
        workers: int = 1,
        app: str = system.APP,
        slots: int = 4,
        env: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
        schedulers: int = 1,
    ) -> None:
        """The services named (all five: none named), then workers `worker-1` …; waits until they are healthy.

        `env`: a service's settings of its own, by its name. `schedulers`: so many: `scheduler`, `scheduler-2` …
        """
        for name in services or SERVICES:
            await self.start_service(name, env=env.get(name))
        for number in range(2, schedulers + 1):
            await self.start_service("scheduler", replica=f"scheduler-{number}", env=env.get("scheduler"))
        for number in range(1, workers + 1):
            await self.start_worker(f"worker-{number}", app=app, slots=slots)
        if "gateway" in self.processes:
            await self.until_ready()

    async def start_service(
        self, name: str, *, replica: str = "", nats_url: str = "", env: Mapping[str, str] | None = None
    ) -> None:
        """`replica`: what another process of the same service is called. `nats_url`: another way to the bus. `env`: settings
        of its own."""
        command = system.service(self.stack, name)
        command = msgspec.structs.replace(
            command, name=replica or name, env={**command.env, **SMALL.get(name, {}), **(env or {})}
        )
        await self._start(self.stack.add(_by(command, nats_url)))

    async def start_broker(self, site: str, storages: str = "") -> None:
        """`broker-<site>`, the broker of `site-<site>`."""
        await self._start(self.stack.add(system.broker(self.stack, site, storages)))

    async def start_worker(
        self,
        name: str,
        *,
        app: str = system.APP,
        slots: int = 4,
        partition: str = "default",
        nats_url: str = "",
        commands: bool = False,
    ) -> None:
        command = system.worker(self.stack, name, app=app, slots=slots, partition=partition, commands=commands)
        await self._start(self.stack.add(_by(command, nats_url)))

    async def _start(self, process: Process) -> None:
        self.processes[process.name] = process
        self._killed.discard(process.name)
        await process.start()

    async def until_ready(self, timeout: float = 4 * LIMIT) -> None:
        """Until the gateway says that everything that it needs is there."""
        opener = build_opener(ProxyHandler({}))

        def ready() -> bool:
            try:
                with opener.open(f"{self.http}/health/ready", timeout=2) as answer:
                    return bool(answer.status == 200)
            except (URLError, OSError):
                return False

        await self.wait_until(ready, timeout=timeout, every=0.1)

    async def kill(self, name: str) -> None:
        """SIGKILL, on purpose."""
        self._killed.add(name)
        await self.processes[name].kill()

    async def stop(self, name: str) -> None:
        """SIGTERM, on purpose, until it has ended."""
        self._killed.add(name)
        await self.processes[name].stop()

    async def restart(self, name: str) -> None:
        """Starts again what was killed or stopped; the log goes on."""
        await self._start(self.processes[name])

    async def keep_running(self, name: str) -> None:
        """Starts a process again whenever it has ended by itself, as an operator's supervisor does; until it is cancelled."""
        while True:
            self._killed.add(name)  # its death is no failure
            await wait_until(lambda: not self.processes[name].running, timeout=float("inf"), every=0.1)
            self.restarts[name] += 1
            await self.processes[name].start()

    def signal(self, name: str, number: signal.Signals) -> None:
        """As if from elsewhere: SIGSTOP and SIGCONT, or a death that nobody meant."""
        self.processes[name].signal(number)

    # -- servers: nats, postgres, s3

    async def stop_server(self, name: str) -> None:
        await self.stack.stop_server(name)

    async def start_server(self, name: str) -> None:
        await self.stack.start_server(name)

    async def kill_server(self, name: str) -> None:
        """SIGKILL and nothing else until `start_server`."""
        await self.stack.kill_server(name)

    async def wipe_jetstream(self) -> None:
        """NATS is killed, loses its storage, and comes back empty."""
        await self.kill_server("nats")
        self.stack.nats.wipe()
        await self.start_server("nats")

    # -- looking

    def check(self) -> None:
        """Fails if a process died by itself."""
        for name, process in self.processes.items():
            if not process.running and name not in self._killed:
                code = process.returncode
                raise AssertionError(f"{name} {ending(code or 0)}; its log ends:\n{process.tail(40)}")

    async def wait_until(
        self,
        predicate: Callable[[], T | Awaitable[T]],
        *,
        timeout: float = LIMIT,
        every: float = 0.05,
        on_timeout: Callable[[], object | Awaitable[object]] | None = None,
    ) -> T:
        """`wait_until` that also fails as soon as a process has died; shows the logs' ends."""

        def watched() -> T | Awaitable[T]:
            self.check()
            return predicate()

        return await wait_until(watched, timeout=timeout, every=every, on_timeout=on_timeout or self.tails)

    def tails(self, lines: int = 10) -> str:
        return "\n".join(f"== {name}\n{process.tail(lines)}" for name, process in self.processes.items())

    def log(self, name: str) -> list[dict[str, object]]:
        """The lines of a process's log that are JSON."""
        lines = self.processes[name].log.read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


def _by(command: Command, nats_url: str) -> Command:
    if not nats_url:
        return command
    return msgspec.structs.replace(command, env={**command.env, "HEADRACE_NATS_URL": nats_url})
