"""Whatever fits the OpenAPI document, or just does not, is answered as the document says; never with a fault of ours."""

import os
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import one_of
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from services.gateway.http import openapi
from services.gateway.http.sse import MEDIA_TYPE as EVENTS
from services.gateway.routes import ROUTES
from tests.support.folders import folder
from tests.support.processes import Processes

EXAMPLES = 300 if os.environ.get("HEADRACE_SOAK") else 4
"""Requests of each kind and route."""
ENDLESS = ("/watch", "/wait")
ASKED = [route for route in ROUTES if route.gives != EVENTS and not route.path.endswith(ENDLESS)]
SCHEMA = schemathesis.openapi.from_dict(openapi.document(ASKED, "1"))
OPERATIONS = {result.ok().label: result.ok() for result in SCHEMA.get_all_operations()}
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.ignored_auth,
]
LIMITS = settings(
    max_examples=2 * EXAMPLES,
    phases=[Phase.generate],
    deadline=None,
    database=None,
    derandomize=not os.environ.get("HEADRACE_SOAK"),
    suppress_health_check=list(HealthCheck),
)
ROLES = ("", "reader", "user", "operator", "admin")


@pytest.fixture(scope="module")
async def system() -> AsyncIterator[Processes]:
    with folder() as home:
        async with Processes(home) as processes:
            often = {"HEADRACE_HTTP_REQUESTS_PER_SECOND": "100000", "HEADRACE_HTTP_FAILURES_PER_SECOND": "100000"}
            await processes.start(workers=0, env={"gateway": often})
            yield processes


@pytest.fixture(scope="module")
def headers(system: Processes) -> list[dict[str, str]]:
    """Of nobody, and of a user of each role."""
    admin = {"Authorization": f"Bearer {system.token}"}
    made = []
    with httpx.Client(base_url=system.http, headers=admin) as http:
        for role in ROLES[1:-1]:
            reply = http.post("/ops/v1/users", json={"name": f"of-{role}", "roles": [role]})
            assert reply.status_code == 201, reply.text
            made.append({"Authorization": f"Bearer {reply.json()['token']}"})
    return [{}, *made, admin]


@pytest.mark.parametrize("label", OPERATIONS)
def test_every_answer_is_declared(label: str, system: Processes, headers: list[dict[str, str]]) -> None:
    operation = OPERATIONS[label]
    asked = 0

    def ask(case: Any) -> None:
        nonlocal asked
        asker = headers[-1] if asked % 2 else headers[asked // 2 % len(headers)]
        asked += 1
        reply = case.call(base_url=system.http, headers=asker, timeout=30)
        assert reply.status_code < 500, reply.text
        case.validate_response(reply, checks=CHECKS)

    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    given(one_of([operation.as_strategy(generation_mode=mode) for mode in modes]))(LIMITS(ask))()
    assert asked
