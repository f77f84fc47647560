"""The three servers of one home, started and stopped together: for `make run` and for the tests.

async with Stack(home) as stack:
    environment = stack.env("scheduler")
"""

import asyncio
import contextlib
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import msgspec

from deploy import keys
from deploy.local import ports, s3
from deploy.local.home import Home, write_private
from deploy.local.janitor import Janitor
from deploy.local.nats import Nats
from deploy.local.postgres import Postgres
from deploy.local.process import BACKOFF, Command, Event, OnEvent, Process, ending
from deploy.local.storages import Storages
from deploy.nats.permissions import BROKER, OF_FACILITY, SITES, pilot_user, site_user, users
from deploy.s3.permissions import USERS as S3_USERS
from shared.contracts.delegation import SITE_ISSUER
from shared.contracts.subjects import SERVICES, WORKER
from shared.runtime.retry import retry

LTS = "lts-a"
"""What the long-term storage in the home is called: site-a has it near."""
START_LIMIT = 60.0
"""Seconds for a server to become ready."""
POLL = 0.05
RESTARTS = 5
"""Tries to start what ran before: after a SIGKILL, PostgreSQL's own children hold its memory for a moment."""


def issuer(service: str, site: str) -> str:
    """As whom a service signs."""
    return f"{SITE_ISSUER}{site}" if service == BROKER else service


class Server(Protocol):
    """One of the three: `prepare` its files, run its `command`, ask whether it is `ready`, `setup` what it must hold.

    `needs_restart` gives the reason why only a restart repairs it, or nothing; `was_full`: the disk has been full meanwhile.
    """

    name: str

    async def prepare(self) -> None: ...
    def command(self) -> Command: ...
    async def ready(self) -> None: ...
    async def needs_restart(self, was_full: bool) -> str: ...
    async def setup(self) -> None: ...


class StartError(Exception):
    """A server did not come up; the message ends with the tail of its log."""


class Stack:
    """The three servers and all processes of one home, started and stopped together.

    start              the servers that are started with it; others when `start_server` asks for them
    on_event           called for each event of a process
    throwaway          the data are not needed afterwards: stop without care for them
    postgres_settings  more of PostgreSQL's settings, on top of ours
    imports            prefixes of the bucket under which objects may be imported as results
    """

    def __init__(
        self,
        home: Path,
        *,
        on_event: OnEvent = lambda event: None,
        start: Collection[str] = ("nats", "postgres", "s3"),
        throwaway: bool = False,
        postgres_settings: Mapping[str, str] | None = None,
        imports: Collection[str] = (),
    ) -> None:
        self.home = Home(home)
        self.on_event = on_event
        self._started_servers = start
        self._throwaway = throwaway
        self._postgres_settings, self._imports = postgres_settings or {}, tuple(imports)
        self._reserved_ports = contextlib.ExitStack()
        self.processes: dict[str, Process] = {}

    async def __aenter__(self) -> Self:
        self.home.open()
        try:
            self._configure()
            self.janitor = Janitor(self.home.lock_fd)
            await self._start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _configure(self) -> None:
        names = ("http", "nats", "nats.monitor", "postgres", *s3.PORTS)
        kept = self.home.path / "ports.json"
        self.ports = ports.choose(names, kept, self._reserved_ports, paired=s3.PAIRED_PORTS, taken=s3.is_taken)
        self.secrets = self.home.secrets(
            [
                *(f"nats.{user}" for user in (*users(self.home.people()), "system")),
                "postgres",
                *(f"postgres.{service}" for service in SERVICES),
                "s3",
                *(f"s3.{user}" for user in S3_USERS),
            ]
        )
        keys.make(self.home.keys, [*OF_FACILITY, *(issuer(BROKER, site) for site in SITES)])
        self.nats = Nats(self.home, self.ports["nats"], self.ports["nats.monitor"])
        self.postgres = Postgres(self.home, self.ports["postgres"], self.secrets, self._postgres_settings)
        self.storages = Storages(self.home)
        self.storages.make_folder(LTS, self.home.path / "lts")
        self.s3 = s3.S3(self.home, self.ports, self.secrets, imports=self._imports, throwaway=self._throwaway)
        self.servers: dict[str, Server] = {server.name: server for server in (self.nats, self.postgres, self.s3)}

    async def _start(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for name in self._started_servers:
                    group.create_task(self.start_server(name))
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        self.write_address()

    # -- servers

    async def start_server(self, name: str) -> None:
        """Starts one of `nats`, `postgres`, `s3` and waits until it is ready. It is started again when it dies."""
        server = self.servers[name]
        self.on_event(Event(name, "starting"))
        await server.prepare()
        restarts = RESTARTS if name in self.processes else 1
        process = self.processes.get(name) or self.add(server.command())
        await retry(lambda: self._start_process(server, process), on=(StartError,), backoff=BACKOFF, attempts=restarts)
        await server.setup()
        process.keep_running(self.update_address)
        self.on_event(Event(name, "ready"))

    async def _start_process(self, server: Server, process: Process) -> None:
        await process.start()
        await self._until_ready(server, process)

    async def stop_server(self, name: str) -> None:
        """Stops one of the servers; it stays down until `start_server`."""
        await self.processes[name].stop()
        self.on_event(Event(name, "stopped"))

    async def kill_server(self, name: str) -> None:
        """Kills one of the servers (SIGKILL); it stays down until `start_server`."""
        await self.processes[name].stop(kill=True)
        self.on_event(Event(name, "killed"))

    async def _until_ready(self, server: Server, process: Process) -> None:
        problem: Exception | None = None
        try:
            async with asyncio.timeout(START_LIMIT):
                while process.running:
                    try:
                        return await server.ready()
                    except Exception as error:
                        problem = error
                    await asyncio.sleep(POLL)
        except TimeoutError:
            raise StartError(
                f"{server.name} was not ready after {START_LIMIT:g} s ({problem!r}); its log ends:\n{process.tail()}"
            ) from problem
        raise StartError(f"{server.name} {ending(process.returncode or 0)}; its log ends:\n{process.tail()}")

    # -- processes

    def add(self, command: Command) -> Process:
        """Adds a process to this stack: it is stopped with it. The caller starts it."""
        process = Process(command, self.home.logs / f"{command.name}.log", self.janitor, self.on_event)
        self.processes[command.name] = process
        return process

    async def run(self, command: Command) -> Process:
        """Adds a process to this stack; it is started now, and again whenever it ends."""
        process = self.add(command)
        await process.start()
        self.write_address()
        process.keep_running(self.update_address)
        return process

    async def close(self) -> None:
        """Stops everything, tier by tier. Harmless when repeated."""
        for tier in sorted({process.command.tier for process in self.processes.values()}):
            stopping = [process for process in self.processes.values() if process.command.tier == tier]
            await asyncio.gather(*(process.stop() for process in stopping))
        if hasattr(self, "s3"):
            self.s3.remove_sockets()
        if hasattr(self, "janitor"):
            await asyncio.to_thread(self.janitor.close)
        self._reserved_ports.close()
        (self.home.path / "address.json").unlink(missing_ok=True)
        self.home.close()

    # -- what others need to know

    def env(self, process: str, site: str = "") -> dict[str, str]:
        """The settings of a service, or of `worker`: its own users and passwords, and nobody else's. `site`: a broker's, or a pilot's."""
        if process == BROKER:
            site = site or "local"
        user = {BROKER: site_user(site), WORKER: pilot_user(site) if site else WORKER}.get(process, process)
        access_key, secret_key = self.s3.key(user)
        settings = {
            "NATS_URL": self.nats.url,
            "NATS_USER": user,
            "NATS_PASSWORD": self.secrets[f"nats.{user}"],
            "S3_ENDPOINT": self.s3.url,
            "S3_ACCESS_KEY": access_key,
            "S3_SECRET_KEY": secret_key,
            "S3_REGION": s3.REGION,
            "S3_BUCKET": s3.BUCKET,
        }
        if process in SERVICES:
            settings["DATABASE_URL"] = self.database_url(process)
            settings["ISSUERS_FILE"] = str(self.home.keys / keys.PUBLIC)
            settings["DELEGATION_KEY_FILE"] = str(keys.private_file(self.home.keys, issuer(process, site)))
        if process == BROKER:
            settings["SITE"] = site
        if process == "gateway":
            settings["HTTP_HOST"] = "127.0.0.1"
            settings["HTTP_PORT"] = str(self.ports["http"])
            settings["ADMIN_TOKEN_FILE"] = str(self.home.token_file)
        if process == "scheduler" and self._imports:
            settings["IMPORT_PREFIXES"] = ",".join(self._imports)
        if process in ("archiver", "retriever"):
            settings["LTS_URL"] = (self.home.path / "lts").as_uri()
            settings["LTS_NAME"] = LTS
        if process not in SERVICES and (bucket := self.storages.id(s3.BUCKET)):
            settings["S3_STORAGE_ID"] = bucket  # the services record it for themselves
        log = {key: os.environ[key] for key in ("HEADRACE_LOG_LEVEL", "HEADRACE_LOG_FORMAT") if key in os.environ}
        return {**log, **{f"HEADRACE_{key}": value for key, value in settings.items()}}

    def database_url(self, service: str, database: str = "headrace") -> str:
        """The address of a database for a service's own role."""
        return self.postgres.url(database, f"headrace_{service}", self.secrets[f"postgres.{service}"])

    @property
    def http(self) -> str:
        """Where the HTTP edge listens."""
        return f"http://127.0.0.1:{self.ports['http']}"

    def update_address(self) -> None:
        """Writes `address.json` again; on a full disk the one before stays until there is space."""
        with contextlib.suppress(OSError):
            self.write_address()

    def write_address(self) -> None:
        """Writes `address.json`, for the command line tool and for people. It has no secrets."""
        address = {
            "http": self.http,
            "nats": self.nats.url,
            "nats_monitor": f"http://127.0.0.1:{self.nats.monitor_port}",
            "postgres": f"postgresql://127.0.0.1:{self.postgres.port}/headrace",
            "s3": self.s3.url,
            "pids": {"supervisor": os.getpid()} | {n: p.pid for n, p in self.processes.items() if p.pid},
        }
        write_private(
            self.home.path / "address.json", msgspec.json.format(msgspec.json.encode(address)).decode() + "\n"
        )
