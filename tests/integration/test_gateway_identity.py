"""Users, groups and tokens over HTTP: made, listed, limited, ended at once on every gateway."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from shared.contracts.headers import DELEGATION
from tests.support.buckets import new_bucket
from tests.support.compute_rig import forget_streams, new_database
from tests.support.gateway_rig import Gateway, running
from tests.support.servers import Servers
from tests.support.wait import wait_until

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
async def gateways(
    servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Gateway, Gateway]]:
    """Two of one facility: one database, one bus."""
    await forget_streams(servers)
    folder = tmp_path_factory.mktemp("gateways")
    async with (
        new_database(servers) as database,
        new_bucket(servers) as s3,
        running(servers, database, s3, folder) as first,
        running(servers, database, s3, folder, stand_in=False) as second,
    ):
        yield first, second


@pytest.fixture
def gateway(gateways: tuple[Gateway, Gateway]) -> Gateway:
    return gateways[0]


async def made(gateway: Gateway, name: str = "", **more: Any) -> dict[str, Any]:
    body = {"name": name or f"u{uuid4().hex[:8]}", **more}
    reply = await gateway.http.post("/ops/v1/users", json=body)
    assert reply.status_code == 201, reply.text
    found: dict[str, Any] = reply.json()
    return found


async def sessions(gateway: Gateway, token: str) -> httpx.Response:
    async with gateway.client(token) as http:
        return await http.get("/compute/v1/sessions")


async def test_users_and_groups_are_made_listed_and_changed(gateway: Gateway) -> None:
    http, user, group = gateway.http, (await made(gateway))["user"], f"g{uuid4().hex[:6]}"
    assert (await http.post("/ops/v1/groups", json={"name": group})).status_code == 204
    for _ in range(2):
        assert (await http.put(f"/ops/v1/groups/{group}/members/{user}")).status_code == 204
    for place, field in ((f"none/members/{user}", "group"), (f"{group}/members/none", "user")):
        reply = await http.put(f"/ops/v1/groups/{place}")
        assert (reply.status_code, reply.json()["field"]) == (404, field)
    found = (await http.get(f"/ops/v1/users/{user}")).json()
    assert (found["groups"], found["roles"], found["has_password"]) == ([group], ["user"], False)
    changed = await http.patch(f"/ops/v1/users/{user}", json={"roles": ["reader"], "password": PASSWORD})
    assert (changed.json()["roles"], changed.json()["has_password"]) == (["reader"], True)
    names, token = [], ""
    while True:
        page = (await http.get("/ops/v1/users", params={"size": 2, "token": token})).json()
        names += [one["name"] for one in page["items"]]
        if not (token := page["next"]):
            break
    assert names == sorted({*names})
    assert {"admin", user} <= {*names}
    groups = (await http.get("/ops/v1/groups")).json()["items"]
    assert next(one["members"] for one in groups if one["name"] == group) == 1
    assert (await http.delete(f"/ops/v1/groups/{group}/members/{user}")).status_code == 204
    assert (await http.delete(f"/ops/v1/groups/{group}")).status_code == 204
    assert (await http.get(f"/ops/v1/users/{user}")).json()["groups"] == []


@pytest.mark.parametrize("name", ["scheduler", "worker", "system", "broker-site-a", "site-a", "pilot-a-1"])
async def test_no_user_has_the_name_of_a_service_a_site_or_a_worker(gateway: Gateway, name: str) -> None:
    reply = await gateway.http.post("/ops/v1/users", json={"name": name})
    assert (reply.status_code, reply.json()["field"]) == (400, "name")


async def test_services_learn_the_groups_of_who_asks(gateway: Gateway) -> None:
    user = await made(gateway)
    await gateway.http.post("/ops/v1/groups", json={"name": "physics"})
    await gateway.http.put(f"/ops/v1/groups/physics/members/{user['user']}")
    async with gateway.client(user["token"]) as http:
        assert (await http.post("/compute/v1/sessions", json={})).status_code == 201
    ctx, _ = gateway.scheduler.asked("session.create")[-1]
    assert (ctx.user, ctx.groups, ctx.roles, ctx.scope) == (user["user"], ("physics",), ("user",), None)
    assert DELEGATION in ctx.headers


async def test_a_token_does_no_more_than_its_scope_and_makes_none_that_does(gateway: Gateway) -> None:
    user = await made(gateway)
    async with gateway.client(user["token"]) as http:
        scoped = await http.post("/ops/v1/tokens", json={"scope": ["compute:read", "identity"], "label": "look"})
        assert scoped.status_code == 201, scoped.text
        for wrong in (["all"], []):
            reply = await http.post("/ops/v1/tokens", json={"scope": wrong})
            assert (reply.status_code, reply.json()["field"]) == (400, "scope")
        assert (await http.post("/ops/v1/tokens", json={"user": "admin"})).status_code == 403
        assert (await http.get("/ops/v1/tokens", params={"all": "true"})).status_code == 403
    async with gateway.client(scoped.json()["token"]) as http:
        assert (await http.get("/compute/v1/sessions")).status_code == 200
        refused = await http.post("/compute/v1/sessions", json={})
        assert (refused.status_code, "scope" in refused.json()["detail"]) == (403, True)
        assert (await http.post("/ops/v1/tokens", json={"scope": ["compute:write"]})).status_code == 403
        again = (await http.post("/ops/v1/tokens", json={})).json()
        listed = (await http.get("/ops/v1/tokens")).json()["items"]
        assert [(one["id"], one["scope"]) for one in listed][:2] == [
            (again["id"], ["compute:read", "identity"]),
            (scoped.json()["id"], ["compute:read", "identity"]),
        ]
        assert not [one for one in listed if "token" in one]


async def test_a_limited_token_of_the_admin_makes_nothing_that_is_not(gateway: Gateway) -> None:
    limited = (await gateway.http.post("/ops/v1/tokens", json={"scope": ["ops"]})).json()
    async with gateway.client(limited["token"]) as http:
        assert (await http.get("/ops/v1/users")).status_code == 200
        for method, path, body in (
            ("PATCH", "/ops/v1/users/admin", {"password": PASSWORD}),
            ("POST", "/ops/v1/users", {"name": "admin", "roles": ["admin"]}),
            ("POST", "/ops/v1/groups", {"name": "physics"}),
        ):
            reply = await http.request(method, path, json=body)
            assert (reply.status_code, "scope" in reply.json()["detail"]) == (403, True), path


async def test_a_token_ends_when_it_says_and_so_does_what_it_made(gateway: Gateway) -> None:
    user = await made(gateway)
    async with gateway.client(user["token"]) as http:
        short = (await http.post("/ops/v1/tokens", json={"expires_seconds": 60})).json()
    async with gateway.client(short["token"]) as http:
        longer = (await http.post("/ops/v1/tokens", json={"expires_seconds": 86_400})).json()
        assert longer["expires_at"] == short["expires_at"]
        assert (await http.post("/ops/v1/tokens", json={})).json()["expires_at"] == short["expires_at"]


async def test_revoked_and_disabled_at_once_on_every_gateway(gateways: tuple[Gateway, Gateway]) -> None:
    first, second = gateways
    user = await made(first)
    assert [(await sessions(each, user["token"])).status_code for each in gateways] == [200, 200]

    async def refused(gateway: Gateway, token: str) -> bool:
        return (await sessions(gateway, token)).status_code == 401

    began = asyncio.get_running_loop().time()
    assert (await first.http.delete(f"/ops/v1/tokens/{user['id']}")).status_code == 204
    assert await refused(first, user["token"])
    await wait_until(lambda: refused(second, user["token"]), every=0.02)
    assert asyncio.get_running_loop().time() - began < 3, "not by looking again after five seconds"
    other = await made(first, user["user"])
    assert (await sessions(second, other["token"])).status_code == 200
    await first.http.patch(f"/ops/v1/users/{user['user']}", json={"disabled": True})
    await wait_until(lambda: refused(second, other["token"]), every=0.02)
    await first.http.patch(f"/ops/v1/users/{user['user']}", json={"disabled": False})
    assert (await sessions(second, other["token"])).status_code == 200
    disabled = await first.http.patch("/ops/v1/users/admin", json={"disabled": True})
    assert (disabled.status_code, disabled.json()["field"]) == (400, "disabled")


async def test_one_revokes_ones_own_tokens_and_no_others(gateway: Gateway) -> None:
    ann, bob = await made(gateway), await made(gateway)
    async with gateway.client(ann["token"]) as http:
        foreign = await http.delete(f"/ops/v1/tokens/{bob['id']}")
        unknown = await http.delete(f"/ops/v1/tokens/{uuid4()}")
        same = [{**one.json(), "trace": ""} for one in (foreign, unknown)]
        assert same[0] == same[1]
        assert (await http.delete(f"/ops/v1/tokens/{ann['id']}")).status_code == 204
    assert (await sessions(gateway, ann["token"])).status_code == 401
    assert (await sessions(gateway, bob["token"])).status_code == 200


async def test_why_somebody_may_do_something(gateway: Gateway) -> None:
    user = (await made(gateway, roles=["reader"]))["user"]
    asked = {"user": user, "action": "session.create"}
    found = (await gateway.http.get("/ops/v1/permissions/explain", params=asked)).json()
    assert (found["allowed"], found["needs"], found["roles"]) == (False, "compute:write", ["reader"])
    assert "compute:write" in found["reason"]
    assert (await gateway.http.get("/ops/v1/permissions/explain", params=asked | {"action": "session.get"})).json()[
        "allowed"
    ]
    for wrong, field in (({"action": "session.fly"}, "action"), ({"user": "nobody-here"}, "user")):
        reply = await gateway.http.get("/ops/v1/permissions/explain", params=asked | wrong)
        assert (reply.status_code, reply.json()["field"]) in ((400, field), (404, field))
    shown = (await gateway.http.get("/ops/v1/permissions")).json()
    assert shown["rules"] == []
    assert shown["actions"]["user.create"] == "ops"
    assert "task.confirm" not in shown["actions"], "of workers"
    await gateway.http.patch(f"/ops/v1/users/{user}", json={"disabled": True})
    found = (await gateway.http.get("/ops/v1/permissions/explain", params=asked | {"action": "session.get"})).json()
    assert (found["allowed"], found["reason"]) == (False, f"{user} is disabled")


async def test_a_login_with_name_and_password(gateway: Gateway) -> None:
    user = (await made(gateway, password=PASSWORD))["user"]
    bare = (await made(gateway))["user"]
    async with gateway.client(None) as http:
        for name, password in ((user, "wrong"), ("nobody-here", PASSWORD), (bare, PASSWORD), ("admin", "")):
            reply = await http.post("/ops/v1/login", json={"user": name, "password": password})
            assert (reply.status_code, reply.json()["detail"]) == (
                401,
                "this name and this password do not belong together",
            )
        entered = await http.post("/ops/v1/login", json={"user": user, "password": PASSWORD})
    assert entered.status_code == 201, entered.text
    assert entered.json()["expires_at"]
    assert (await sessions(gateway, entered.json()["token"])).status_code == 200
    await gateway.http.patch(f"/ops/v1/users/{user}", json={"password": None})
    async with gateway.client(None) as http:
        again = await http.post("/ops/v1/login", json={"user": user, "password": PASSWORD})
    assert again.status_code == 401
