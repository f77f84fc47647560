"""The embedded servers through the fixtures: they answer, and each user can do what is its own and no more."""

from typing import Any

import asyncpg
import pytest

from shared.contracts.subjects import SERVICES
from tests.support.buckets import Bucket
from tests.support.databases import Database
from tests.support.servers import Servers


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_sees_its_own_schema_only(database: Database, service: str) -> None:
    connection = await asyncpg.connect(database.url(service))
    try:
        assert await connection.fetchval("SELECT current_schema()") == service
        await connection.execute("CREATE TABLE mine (id int)")
        await connection.execute("CREATE TEMPORARY TABLE passing (id int)")
        for other in {*SERVICES, "public"} - {service}:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"CREATE TABLE {other}.theirs (id int)")
    finally:
        await connection.close()


async def test_a_service_reads_no_other_services_tables(database: Database) -> None:
    scheduler = await asyncpg.connect(database.url("scheduler"))
    broker = await asyncpg.connect(database.url("broker"))
    try:
        await scheduler.execute("CREATE TABLE tasks (id int)")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await broker.fetch("SELECT * FROM scheduler.tasks")
    finally:
        await scheduler.close()
        await broker.close()


@pytest.mark.parametrize("name", ["postgres", "template1"])
@pytest.mark.parametrize("service", SERVICES)
async def test_a_role_cannot_enter_another_database(database: Database, service: str, name: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(database.servers.service_url(service, name))


async def test_objects_are_stored_and_guarded(s3: Bucket, servers: Servers) -> None:
    async with servers.s3_client() as client:
        await client.put_object(Bucket=s3.s3_bucket, Key="a/b", Body=b"bytes")
        answer: Any = await client.get_object(Bucket=s3.s3_bucket, Key="a/b")
        assert await answer["Body"].read() == b"bytes"


async def test_streams_are_gone_before_a_test(nats: Servers) -> None:
    client = await nats.connect()
    try:
        assert await client.jetstream().streams_info() == []
    finally:
        await client.close()
