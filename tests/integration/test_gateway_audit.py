"""The audit log over HTTP: changes and refusals are in it, by whom and from where; nothing in it can be changed unnoticed."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import msgspec
import pytest

from shared.contracts import subjects
from shared.contracts.errors import ErrorBody
from shared.contracts.events import CommandRejected
from tests.support.buckets import new_bucket
from tests.support.compute_rig import forget_streams, new_database
from tests.support.databases import Database
from tests.support.gateway_rig import Gateway, running
from tests.support.servers import Servers
from tests.support.wait import wait_until


@pytest.fixture(scope="module")
async def database(servers: Servers) -> AsyncIterator[Database]:
    async with new_database(servers) as made:
        yield made


@pytest.fixture(scope="module")
async def gateway(
    servers: Servers, database: Database, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    await forget_streams(servers)
    async with new_bucket(servers) as s3, running(servers, database, s3, tmp_path_factory.mktemp("gateway")) as made:
        yield made


async def entries(gateway: Gateway, least: int = 1, **query: Any) -> list[dict[str, Any]]:
    """What fits, oldest first, as soon as there are so many."""

    async def found() -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await gateway.http.get("/ops/v1/audit", params=query)).json()["items"]
        return items if len(items) >= least else []

    return list(reversed(await wait_until(found)))


async def verified(gateway: Gateway) -> dict[str, Any]:
    found: dict[str, Any] = (await gateway.http.get("/ops/v1/audit/verify")).json()
    return found


async def test_changes_and_refusals_are_written_down_and_reads_are_not(gateway: Gateway) -> None:
    async with await gateway.user("ada", "reader") as ada:
        assert (await ada.get("/compute/v1/sessions")).status_code == 200
        assert (await ada.post("/compute/v1/sessions", json={})).status_code == 403
        assert (await ada.get("/ops/v1/audit")).status_code == 403
    (made,) = await entries(gateway, action="user.create")
    assert (made["user"], made["via"], made["client"], made["status"], made["allowed"]) == (
        "admin", "http", "127.0.0.1", 201, True
    )  # fmt: skip
    refused = await entries(gateway, 2, user="ada", allowed="false")
    assert [(one["action"], one["status"]) for one in refused] == [("session.create", 403), ("audit.list", 403)]
    assert len(refused[0]["trace"]) == 32
    assert not (await gateway.http.get("/ops/v1/audit", params={"user": "ada", "allowed": "true"})).json()["items"]
    await gateway.http.patch("/ops/v1/users/ada", json={"disabled": True})
    (changed,) = await entries(gateway, thing="user/ada")
    assert changed["action"] == "user.update"


async def test_strangers_and_commands_are_in_it_too(gateway: Gateway, servers: Servers) -> None:
    async with gateway.client("hr_nobody-has-this") as stranger:
        assert (await stranger.delete("/compute/v1/partitions/gpu")).status_code == 401
    (refused,) = await entries(gateway, action="partition.delete")
    assert (refused["user"], refused["thing"], refused["status"]) == ("", "partition/gpu", 401)
    bus = await servers.connect()
    rejected = CommandRejected("hr.cmd.bob.scheduler.session.close", ErrorBody("permission_denied", "no"))
    await bus.publish(subjects.event("command", "rejected", 7), msgspec.json.encode(rejected))
    (command,) = await entries(gateway, user="bob")
    assert (command["via"], command["client"], command["action"], command["status"]) == (
        "command", "", "session.close", 403
    )  # fmt: skip
    await bus.close()


async def test_pages_and_moments(gateway: Gateway) -> None:
    whole = await entries(gateway, 4)
    seen, token = [], ""
    while True:
        page = (await gateway.http.get("/ops/v1/audit", params={"size": 2, "token": token})).json()
        seen += page["items"]
        if not (token := page["next"]):
            break
    assert list(reversed(seen)) == whole
    later = await entries(gateway, since=whole[2]["at"])
    assert later[0]["id"] >= whole[2]["id"]
    for wrong, field in (({"token": "x"}, "token"), ({"since": "yesterday"}, "since")):
        reply = await gateway.http.get("/ops/v1/audit", params=wrong)
        assert (reply.status_code, reply.json()["field"]) == (400, field)


async def test_nothing_can_be_changed_and_what_was_is_found(gateway: Gateway, database: Database) -> None:
    whole = await entries(gateway, 4)
    assert (await verified(gateway))["bad"] == 0
    service, owner = await asyncpg.connect(database.url("gateway")), await asyncpg.connect(database.admin_url)
    for statement in ("UPDATE audit SET status = 200", "DELETE FROM audit", "TRUNCATE audit"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await service.execute(statement)
    third = whole[2]["id"]
    await owner.execute("ALTER TABLE gateway.audit DISABLE TRIGGER ALL")  # who owns the database can, and is found out
    await owner.execute("UPDATE gateway.audit SET user_name = 'eve' WHERE id = $1", third)
    assert (await verified(gateway))["bad"] == third
    await owner.execute("UPDATE gateway.audit SET user_name = $2 WHERE id = $1", third, whole[2]["user"])
    assert (await verified(gateway))["bad"] == 0
    await owner.execute("DELETE FROM gateway.audit WHERE id = $1", third)
    assert (await verified(gateway))["bad"] == third
    await service.close()
    await owner.close()
