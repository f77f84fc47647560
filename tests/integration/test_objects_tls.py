"""The object store over TLS: checked against the operator's certificates; in plain text on this machine only."""

import asyncio
import contextlib
import hashlib
import ssl
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest

from shared.contracts.errors import Unavailable
from shared.objects.s3 import open_objects
from shared.objects.settings import ObjectsSettings
from tests.support.buckets import Bucket

PEM = Path(__file__).parents[1] / "support" / "localhost.pem"


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.fixture
async def settings(s3: Bucket) -> AsyncIterator[ObjectsSettings]:
    """The store behind a port that speaks TLS."""
    plain = msgspec.convert(s3, ObjectsSettings, from_attributes=True)
    behind = urlsplit(plain.s3_endpoint)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_connection(behind.hostname, behind.port)
        await asyncio.gather(_pass(reader, outer), _pass(inner, writer))

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield msgspec.structs.replace(plain, s3_endpoint=url, s3_ca_file=str(PEM), s3_patience=0.0)
    server.close()


async def test_a_store_with_a_certificate(settings: ObjectsSettings) -> None:
    data = b"x" * 100_000
    async with open_objects(settings) as objects:
        await objects.put("results/a", data)
        assert await objects.read("results/a", limit=len(data)) == data
        assert await objects.check() == "ok"
        sha256 = hashlib.sha256(data).hexdigest()
        put = await objects.presign_put("landing/a", timedelta(minutes=1), size=len(data), sha256=sha256)
        async with httpx.AsyncClient(trust_env=False, verify=ssl.create_default_context(cafile=str(PEM))) as user:
            assert (await user.put(put.url, content=data, headers=put.headers)).is_success
        await objects.delete(["results/a", "landing/a"])


async def test_a_certificate_of_somebody_elses(settings: ObjectsSettings) -> None:
    async with open_objects(msgspec.structs.replace(settings, s3_ca_file="")) as objects:
        with pytest.raises(Unavailable):
            await objects.put("results/a", b"x")
        assert "away" in await objects.check()


@pytest.mark.parametrize("endpoint", ["http://s3.example.org", "http://10.0.0.1:8333", "http://127.0.0.1.example.org"])
@pytest.mark.parametrize("name", ["s3_endpoint", "s3_public_endpoint"])
async def test_nothing_leaves_the_machine_in_plain_text(endpoint: str, name: str) -> None:
    local = ObjectsSettings(s3_endpoint="http://127.0.0.1:1", s3_access_key="a", s3_secret_key="b")
    with pytest.raises(SystemExit, match=f"HEADRACE_{name.upper()}: https"):
        async with open_objects(msgspec.structs.replace(local, **{name: endpoint})):
            pass
