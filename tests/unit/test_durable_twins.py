"""Publishing to NATS is a full way in: what a changing route of /compute/v1 does, a durable command does too."""

import pytest

from services.gateway.http.route import Route
from services.gateway.routes import ROUTES
from shared.contracts.endpoints import ENDPOINTS
from shared.contracts.permissions import COMPUTE_READ

ENDPOINT = {one.name: one for one in ENDPOINTS}
CHANGING = [
    route
    for route in ROUTES
    if route.path.startswith("/compute/v1/") and route.method != "GET" and route.needs != COMPUTE_READ
]
NOT_DURABLE: dict[str, str] = {}
"""Endpoints behind a changing route that are no command, and why. At the moment all are."""
NO_ROUTE = {
    "scheduler.result.abort": "asked by services and by users of the bus: over HTTP a result is given up with its session",
}
"""Commands that no route of /compute/v1 passes on, and why."""


def name(route: Route) -> str:
    return f"{route.method} {route.path}"


@pytest.mark.parametrize("route", CHANGING, ids=name)
def test_a_changing_route_has_a_durable_twin(route: Route) -> None:
    assert route.asks, "say in `asks` which endpoints it passes its request on to"
    for asked in route.asks:
        assert ENDPOINT[asked].durable or asked in NOT_DURABLE, f"{asked} is no command, and nothing says why"


def test_every_command_of_the_scheduler_has_a_route() -> None:
    routed = {asked for route in ROUTES for asked in route.asks}
    commands = {one.name for one in ENDPOINTS if one.service == "scheduler" and one.durable}
    assert commands - routed == set(NO_ROUTE)


def test_no_exception_outlives_its_reason() -> None:
    asked = {asked for route in CHANGING for asked in route.asks}
    assert {one for one in NOT_DURABLE if one not in asked or ENDPOINT[one].durable} == set()
    assert NO_ROUTE.keys() <= ENDPOINT.keys()


def test_routes_ask_what_there_is() -> None:
    assert {asked for route in ROUTES for asked in route.asks} <= ENDPOINT.keys()
