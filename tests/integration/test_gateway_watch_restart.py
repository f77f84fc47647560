"""A gateway stops or is replaced: who watches goes on where it was."""

import asyncio
from pathlib import Path

from tests.support.buckets import Bucket
from tests.support.databases import Database
from tests.support.gateway_rig import running
from tests.support.servers import Servers
from tests.support.wait import wait_until
from tests.support.watches import ask, tell, watching, whole


async def test_another_gateway_goes_on_where_the_first_was(
    nats: Servers, database: Database, s3: Bucket, tmp_path: Path
) -> None:
    async with running(nats, database, s3, tmp_path) as gateway:
        session = gateway.scheduler.session()
        async with watching(gateway.http, session.id) as first:
            await wait_until(lambda: "snapshot.end" in first.names)
            await tell(gateway, session.id, 1)
            await wait_until(lambda: first.completed() == [1])
        await tell(gateway, session.id, 2)
    async with running(nats, database, s3, tmp_path) as gateway:
        gateway.scheduler.sessions[session.id] = session
        async with watching(gateway.http, session.id, first.id) as second:
            await tell(gateway, session.id, 3)
            await wait_until(lambda: second.completed() == [2, 3], on_timeout=lambda: second.received)
            assert set(second.names) == {"task.changed"}


async def test_who_waits_is_answered_when_the_gateway_stops(
    nats: Servers, database: Database, s3: Bucket, tmp_path: Path
) -> None:
    async with running(nats, database, s3, tmp_path) as gateway:
        alice = await nats.connect("alice")
        session = gateway.scheduler.session("alice").id
        place = (await whole(alice, session=session))["place"]
        asked = len(gateway.scheduler.asked("session.get"))
        waiting = asyncio.create_task(ask(alice, "session", session=session, place=place, wait=30))
        await wait_until(lambda: len(gateway.scheduler.asked("session.get")) > asked)
        gateway.stop.set()
        received = await asyncio.wait_for(waiting, 15)
        assert received["events"] == []
        await alice.close()
