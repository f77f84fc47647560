"""Addresses and passwords of the servers that the tests use, wherever they come from."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import aioboto3
import asyncpg
import msgspec
import nats
from botocore.config import Config
from nats.aio.client import Client

from deploy import keys
from deploy.local import database as databases
from deploy.local.stack import Stack
from deploy.nats.permissions import BROKER, site_user
from shared.contracts.subjects import SERVICES


async def settled(client: Client) -> None:
    """What was subscribed and published before is known to the server.

    One flush does not say that: nats-py writes its PING ahead of the commands that still wait. A second one comes after them.
    """
    await client.flush()
    await client.flush()


class Servers(msgspec.Struct, frozen=True):
    """`postgres_url`: as a superuser. `nats_logins`: user → password; empty: a server that asks for none.

    `keys`: the folder with the keys of whoever signs; empty: nobody does.
    """

    nats_url: str
    nats_logins: Mapping[str, str]
    postgres_url: str
    postgres_passwords: Mapping[str, str]
    s3_endpoint: str
    s3_access_key: str
    s3_secret_key: str
    s3_region: str = "us-east-1"
    keys: str = ""

    def bus(self, user: str, site: str = "") -> dict[str, str]:
        """The fields of BusSettings for one of the bus's users. `site`: whose broker it is, if it is one.

        The administrator is the tests' own: it signs as the gateway would.
        """
        login = site_user(site or "local") if user == BROKER else user
        known = login in self.nats_logins
        return {
            "nats_url": self.nats_url,
            "nats_user": login if known else "",
            "nats_password": self.nats_logins[login] if known else "",
            **self._keys(user, site),
        }

    def _keys(self, user: str, site: str) -> dict[str, str]:
        issuer = {"admin": "gateway", "broker": f"broker.{site or 'local'}"}.get(user, user)
        if not self.keys or not keys.is_issuer(issuer):
            return {}
        keys.make(Path(self.keys), [issuer])
        return {
            "delegation_key_file": str(keys.private_file(Path(self.keys), issuer)),
            "issuers_file": str(Path(self.keys) / keys.PUBLIC),
        }

    async def connect(self, user: str = "admin", **options: Any) -> Client:
        """A plain connection to the bus."""
        login = self.bus(user)
        if login["nats_user"]:
            name = login["nats_user"]
            options |= {"user": name, "password": login["nats_password"], "inbox_prefix": f"_INBOX_{name}".encode()}
        return await nats.connect(self.nats_url, **{"connect_timeout": 5, **options})

    async def forget(self, stream: str, consumer: str = "") -> None:
        """A stream, or a consumer of it, is lost: no service may do that."""
        client = await self.connect()
        try:
            jetstream = client.jetstream()
            assert await (jetstream.delete_consumer(stream, consumer) if consumer else jetstream.delete_stream(stream))
        finally:
            await client.close()

    async def purge(self, stream: str, subject: str) -> int:
        """What a stream holds under a subject is gone; how many messages that were."""
        client = await self.connect()
        try:
            jetstream = client.jetstream()
            held = (await jetstream.stream_info(stream)).state.messages
            assert await jetstream.purge_stream(stream, subject=subject)
            return int(held - (await jetstream.stream_info(stream)).state.messages)
        finally:
            await client.close()

    def admin_url(self, database: str) -> str:
        return urlunsplit(urlsplit(self.postgres_url)._replace(path=f"/{database}"))

    def service_url(self, service: str, database: str) -> str:
        at = urlsplit(self.postgres_url).netloc.rpartition("@")[2]
        login = f"headrace_{service}:{quote(self.postgres_passwords[service], safe='')}"
        return urlunsplit(urlsplit(self.postgres_url)._replace(netloc=f"{login}@{at}", path=f"/{database}"))

    def s3_client(self) -> Any:
        """A client, to be entered with `async with`."""
        return aioboto3.Session().client(
            "s3",
            endpoint_url=self.s3_endpoint,
            region_name=self.s3_region,
            aws_access_key_id=self.s3_access_key,
            aws_secret_access_key=self.s3_secret_key,
            config=Config(proxies={}),
        )


def of_nats(stack: Stack) -> Servers:
    """A stack of which only the bus runs, with those who have a user of it now."""
    logins = {name[5:]: secret for name, secret in stack.nats.secrets.items() if name.startswith("nats.")}
    return Servers(
        nats_url=stack.nats.url,
        nats_logins=logins,
        postgres_url="",
        postgres_passwords={},
        s3_endpoint="",
        s3_access_key="",
        s3_secret_key="",
        keys=str(stack.home.keys),
    )


def of_stack(stack: Stack) -> Servers:
    secrets = stack.secrets
    return Servers(
        nats_url=stack.nats.url,
        nats_logins={name[5:]: secret for name, secret in secrets.items() if name.startswith("nats.")},
        postgres_url=stack.postgres.url("postgres"),
        postgres_passwords={service: secrets[f"postgres.{service}"] for service in SERVICES},
        s3_endpoint=stack.s3.url,
        s3_access_key=stack.s3.access_key,
        s3_secret_key=stack.s3.secret_key,
        keys=str(stack.home.keys),
    )


async def of_addresses(nats_url: str, postgres_url: str, s3: tuple[str, str, str]) -> Servers:
    """Servers that somebody else runs. Their roles are made here."""
    passwords = dict.fromkeys(SERVICES, "headrace-test")
    admin = await asyncpg.connect(postgres_url)
    try:
        await databases.roles(admin, passwords)
        await databases.close_templates(admin)
    finally:
        await admin.close()
    return Servers(
        nats_url=nats_url,
        nats_logins={},
        postgres_url=postgres_url,
        postgres_passwords=passwords,
        s3_endpoint=s3[0],
        s3_access_key=s3[1],
        s3_secret_key=s3[2],
        keys=tempfile.mkdtemp(prefix="headrace-keys-"),
    )


async def of_environment() -> Servers | None:
    """HEADRACE_TEST_NATS_URL, _DATABASE_URL (a superuser's), _S3_ENDPOINT, _S3_ACCESS_KEY, _S3_SECRET_KEY: all or none."""
    names = ("NATS_URL", "DATABASE_URL", "S3_ENDPOINT", "S3_ACCESS_KEY", "S3_SECRET_KEY")
    given = {name: os.environ[f"HEADRACE_TEST_{name}"] for name in names if f"HEADRACE_TEST_{name}" in os.environ}
    if not given:
        return None
    if missing := [name for name in names if name not in given]:
        raise RuntimeError(f"set these too, or none: {', '.join(f'HEADRACE_TEST_{name}' for name in missing)}")
    s3 = (given["S3_ENDPOINT"], given["S3_ACCESS_KEY"], given["S3_SECRET_KEY"])
    return await of_addresses(given["NATS_URL"], given["DATABASE_URL"], s3)
