"""Every endpoint of every service, as data: one module a conversation, named as the module of its Structs."""

from typing import Any, Final

from shared.contracts.endpoint import Endpoint
from shared.contracts.endpoints import catalogue, compute, execution, health, operations, retrieval, sites, work

ENDPOINTS: Final[tuple[Endpoint[Any, Any], ...]] = (
    *(
        one
        for module in (compute, work, catalogue, retrieval, execution, sites)
        for one in vars(module).values()
        if isinstance(one, Endpoint)
    ),
    *operations.ALL,
    *health.CHECK.values(),
)


def of_service(service: str) -> tuple[Endpoint[Any, Any], ...]:
    """All that one service has to answer."""
    return tuple(one for one in ENDPOINTS if one.service == service)
