"""Endpoints as data, and a service that registers them."""

from typing import Any

import msgspec
import pytest

from shared.contracts import subjects
from shared.contracts.endpoint import Command, Endpoint
from shared.contracts.endpoints import ENDPOINTS, execution, health, of_service
from shared.contracts.health import Health, HealthCheck
from shared.contracts.permissions import ROLES, WORKER
from shared.runtime.clock import SystemClock
from shared.service.context import Context
from shared.service.health import serve_health
from shared.service.service import Service
from shared.testing.bus import MemoryBroker


def name_of(endpoint: Endpoint[Any, Any]) -> str:
    return endpoint.name


def test_each_operation_is_stated_once() -> None:
    names = [one.name for one in ENDPOINTS]
    assert len(names) == len(set(names))
    assert {one.service for one in ENDPOINTS} == set(subjects.SERVICES)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=name_of)
def test_an_endpoint_says_who_may_ask_and_what_it_does(endpoint: Endpoint[Any, Any]) -> None:
    assert endpoint.summary.endswith(".")
    if endpoint.needs is None:
        assert endpoint.noun == "health", "whoever may publish there may ask: say why here"
    else:
        assert any(endpoint.needs in given for given in ROLES.values()), "no role gives this permission"
    assert issubclass(endpoint.reply, msgspec.Struct)
    assert (endpoint.request is bytes) == (endpoint.line is not None)
    if endpoint.durable:
        assert isinstance(endpoint, Command)
        assert endpoint.needs not in ROLES[WORKER], "nobody gives commands in a worker's name"


def test_the_sites_brokers_have_subjects_of_their_own() -> None:
    for one in of_service("broker"):
        if one.noun != "health":
            assert one.subject_at("site-x") in (subjects.OFFER_REQUEST, f"hr.broker.site-x.{one.verb}")
    assert execution.OFFER_ACCEPT.subject == "hr.broker.{site}.accept"


async def check(ctx: Context, asked: HealthCheck) -> Health:
    return Health("archiver", "1", True, {}, "")


async def test_a_service_does_not_start_without_a_handler_that_is_expected() -> None:
    bus = await MemoryBroker().connect("gateway")
    service = Service(bus, None, "gateway", "1.0.0", "", [health.CHECK["gateway"]])
    with pytest.raises(RuntimeError, match=r"without a handler: gateway\.health\.check"):
        await service.start()
    serve_health(service, {}, SystemClock())
    await service.start()
    await service.stop()
    await bus.close()


async def test_no_endpoint_has_two_handlers() -> None:
    bus = await MemoryBroker().connect("archiver")
    service = Service(bus, None, "archiver", "1.0.0", "")
    service.on(health.CHECK["archiver"], check)
    with pytest.raises(RuntimeError, match="has a handler already"):
        service.on(health.CHECK["archiver"], check)
    await bus.close()
