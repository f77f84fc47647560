"""Whether a service can do its work: the same question to each of the five."""

from typing import Final

from shared.contracts.endpoint import Query
from shared.contracts.health import Health, HealthCheck
from shared.contracts.subjects import SERVICES

CHECK: Final = {
    service: Query(
        service, "health", "check", HealthCheck, Health, None, "Whether the service can do its work, and what it lacks."
    )
    for service in SERVICES
}
"""By the service's name."""
