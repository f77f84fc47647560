"""The server really refuses what the permissions do not name."""

import asyncio
from urllib.parse import urlsplit

import pytest

from deploy.nats.permissions import NOUNS, OF_FACILITY
from tests.support.servers import Servers, settled
from tests.support.wait import wait_until

NOT_THEIRS = {
    **{
        service: f"hr.evt.{noun}.changed.1"
        for service, (noun, *_) in zip(
            OF_FACILITY, (NOUNS[other] for other in (*OF_FACILITY[1:], "broker")), strict=True
        )
    },
    "broker-site-a": "hr.evt.session.closed.0192",
    "worker": "hr.task.default.5.0192",
    "alice": "hr.cmd.bob.scheduler.session.create",
}
THEIRS = {
    **{service: f"hr.step.{service}.chain.step" for service in OF_FACILITY},
    "broker-site-a": "hr.evt.offer.offered.0192",
    "worker": "hr.report.default",
    "alice": "hr.cmd.alice.scheduler.session.create",
}


@pytest.mark.parametrize("user", NOT_THEIRS)
async def test_a_user_publishes_its_own_subjects_only(servers: Servers, user: str) -> None:
    problems: list[str] = []
    heard: list[str] = []

    async def note(error: Exception) -> None:
        problems.append(str(error))

    async def hear(message: object) -> None:
        heard.append(getattr(message, "subject"))  # noqa: B009

    admin = await servers.connect()
    client = await servers.connect(user, error_cb=note)
    try:
        await admin.subscribe("hr.>", cb=hear)
        await settled(admin)
        await client.publish(NOT_THEIRS[user], b"{}")
        await client.publish(THEIRS[user], b"{}")
        await settled(client)
        await wait_until(lambda: THEIRS[user] in heard, on_timeout=lambda: (heard, problems))
        await wait_until(lambda: problems)
        assert NOT_THEIRS[user] not in heard
        assert "permissions violation" in problems[0].lower()
    finally:
        await client.close()
        await admin.close()


async def test_nobody_is_let_in_without_a_name(servers: Servers) -> None:
    at = urlsplit(servers.nats_url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    try:
        await reader.readline()  # INFO
        writer.write(b'CONNECT {"verbose": false}\r\nPING\r\n')
        assert b"authorization violation" in (await reader.read()).lower()
    finally:
        writer.close()
        await writer.wait_closed()
