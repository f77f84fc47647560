"""All routes of the edge, by domain."""

from typing import Final

from services.gateway.compute import routes as compute
from services.gateway.data import archiver, catalogue
from services.gateway.data import routes as data
from services.gateway.events import routes as events
from services.gateway.execution import routes as execution
from services.gateway.http.domain import Domain
from services.gateway.identity import routes as identity
from services.gateway.operations import routes as operations
from services.gateway.ops import health
from services.gateway.ops import routes as ops
from shared.contracts.endpoints import ENDPOINTS
from shared.contracts.permissions import ROLES, SITE, WORKER

SCICAT: Final = "/catalogue/api/v3"

DOMAINS: Final = [
    Domain(prefix=compute.ROOT, routes=[*compute.ROUTES, *events.SESSION_ROUTES]),
    Domain(prefix=data.ROOT, routes=data.ROUTES, encoded_slash=True),
    Domain(prefix=SCICAT, routes=catalogue.routes(SCICAT), encoded_slash=True),
    Domain(prefix=archiver.ROOT, routes=archiver.ROUTES, encoded_slash=True),
    Domain(prefix=execution.ROOT, routes=execution.ROUTES),
    Domain(prefix=operations.ROOT, routes=operations.ROUTES),
    Domain(prefix=ops.ROOT, routes=[*ops.ROUTES, *identity.ROUTES]),
    Domain(prefix="", routes=[*events.ROUTES, *health.ROUTES]),
]

ROUTES: Final = [route for domain in DOMAINS for route in domain.routes]


def actions() -> dict[str, str]:
    """What each action of users needs: those of the endpoints, and those of routes that are the gateway's own."""
    users = {needs for role, held in ROLES.items() if role not in (WORKER, SITE) for needs in held}
    found = {f"{one.noun}.{one.verb}": one.needs for one in ENDPOINTS if one.needs in users}
    found |= {route.action: route.needs for route in ROUTES if route.needs is not None}
    return {action: needs for action, needs in sorted(found.items()) if needs is not None}
