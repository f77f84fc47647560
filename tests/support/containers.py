"""The three servers as containers of the official images, by testcontainers (HEADRACE_TEST_BACKEND=containers)."""

import asyncio
import contextlib
import json
import secrets
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncpg
from testcontainers.core.container import DockerContainer

from deploy.local import database as databases
from deploy.local.home import PEOPLE
from deploy.nats import config
from deploy.nats.permissions import users
from shared.contracts.subjects import SERVICES
from tests.support.images import NATS, POSTGRES, SEAWEEDFS
from tests.support.servers import Servers
from tests.support.wait import wait_until

START_LIMIT = 120


def _container(image: str, port: int, command: str) -> DockerContainer:
    """Its port is reached on loopback only; left to itself Docker opens it to the network."""
    container = DockerContainer(image).with_command(command)
    container.ports[str(port)] = ("127.0.0.1",)
    return container


def _nats(passwords: dict[str, str]) -> DockerContainer:
    settings = config.server(
        host="0.0.0.0",
        port=4222,
        monitor_port=8222,
        store=Path("/data"),
        people=PEOPLE,
        passwords=passwords,
    )
    return _container(NATS, 4222, "--config /headrace.conf").with_copy_into_container(
        json.dumps(settings).encode(), "/headrace.conf"
    )


def _postgres(password: str) -> DockerContainer:
    return _container(POSTGRES, 5432, "-c max_connections=200 -c timezone=UTC").with_env("POSTGRES_PASSWORD", password)


def _seaweedfs(secret: str) -> DockerContainer:
    identity = {
        "name": "headrace",
        "credentials": [{"accessKey": "headrace", "secretKey": secret}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    command = (
        "server -s3 -s3.config=/s3.json -dir=/data -ip.bind=0.0.0.0 -master.telemetry=false "
        "-master.volumeSizeLimitMB=256 -volume.max=100"
    )
    config_file = json.dumps({"identities": [identity]}).encode()
    return _container(SEAWEEDFS, 8333, command).with_copy_into_container(config_file, "/s3.json")


@contextlib.asynccontextmanager
async def run() -> AsyncIterator[Servers]:
    """Started together, removed at the end."""
    nats_passwords = {name: secrets.token_hex(16) for name in (*users(PEOPLE), "system")}
    postgres_password, s3_secret = secrets.token_hex(16), secrets.token_hex(16)
    containers = (_nats(nats_passwords), _postgres(postgres_password), _seaweedfs(s3_secret))
    try:
        # All of them before an error is raised: one that is still starting could not be removed.
        starting = (asyncio.to_thread(container.start) for container in containers)
        for outcome in await asyncio.gather(*starting, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
        nats_at, postgres_at, s3_at = (
            f"127.0.0.1:{container.get_exposed_port(port)}"
            for container, port in zip(containers, (4222, 5432, 8333), strict=True)
        )
        servers = Servers(
            nats_url=f"nats://{nats_at}",
            nats_logins=nats_passwords,
            postgres_url=f"postgresql://postgres:{postgres_password}@{postgres_at}/postgres",
            postgres_passwords={service: secrets.token_hex(16) for service in SERVICES},
            s3_endpoint=f"http://{s3_at}",
            s3_access_key="headrace",
            s3_secret_key=s3_secret,
            keys=tempfile.mkdtemp(prefix="headrace-keys-"),
        )
        checks = (_nats_answers, _postgres_answers, _s3_answers)
        await asyncio.gather(*(_until(check, servers) for check in checks))
        yield servers
    finally:
        await asyncio.gather(*(asyncio.to_thread(container.stop) for container in containers))


async def _until(check: Callable[[Servers], Awaitable[None]], servers: Servers) -> None:
    problems: list[Exception] = []

    async def passes() -> bool:
        try:
            await check(servers)
        except Exception as problem:
            problems[:] = [problem]
            return False
        return True

    await wait_until(passes, timeout=START_LIMIT, every=0.2, on_timeout=lambda: problems)


async def _nats_answers(servers: Servers) -> None:
    client = await servers.connect(allow_reconnect=False, error_cb=_ignore)
    try:
        await client.jetstream().account_info()
    finally:
        await client.close()


async def _ignore(_error: Exception) -> None:
    """nats-py would print every try."""


async def _postgres_answers(servers: Servers) -> None:
    admin = await asyncpg.connect(servers.postgres_url, timeout=5)
    try:
        await databases.roles(admin, servers.postgres_passwords)
        await databases.close_to_public(admin)
        await databases.close_templates(admin)
    finally:
        await admin.close()


async def _s3_answers(servers: Servers) -> None:
    async with servers.s3_client() as client:
        await client.list_buckets()
