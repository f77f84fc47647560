"""Who asks whom, operation by operation. The permissions of the bus come from this (`deploy/nats/permissions.py`), and so does
what a service may sign for (`shared/contracts/delegation.py`): a service that asks something new is named here first.
"""

from typing import Any, Final

import msgspec

from shared.contracts.endpoint import Endpoint
from shared.contracts.endpoints import ENDPOINTS, health, operations, retrieval, sites
from shared.contracts.endpoints import catalogue as k
from shared.contracts.endpoints import compute as c
from shared.contracts.permissions import ROLES, SITE, WORKER

Endpoints = tuple[Endpoint[Any, Any], ...]


class Asks(msgspec.Struct, frozen=True):
    """What one service asks.

    for_users    by its own signature, for the user whose work it does
    by_grant     with a delegation that the gateway has given it
    for_itself   in its own name
    """

    for_users: Endpoints = ()
    by_grant: Endpoints = ()
    for_itself: Endpoints = ()

    @property
    def all(self) -> Endpoints:
        """Whatever it asks."""
        return (*self.for_users, *self.by_grant, *self.for_itself)


HEALTH: Final[Endpoints] = tuple(health.CHECK.values())
OF_USERS: Final[Endpoints] = tuple(
    one for one in ENDPOINTS if one.needs is not None and one.needs not in ROLES[WORKER] | ROLES[SITE]
)
"""What the gateway asks for users: everything but what is a worker's or a site's."""
AT_OFFER: Final[Endpoints] = (c.SESSION_CREATE, c.SESSION_GET, c.SESSION_CLOSE)
"""What a site asks for the owner of an accepted offer, about the one session that the offer has become."""

ASKS: Final[dict[str, Asks]] = {
    "gateway": Asks(for_users=OF_USERS, for_itself=HEALTH),
    "scheduler": Asks(),
    "archiver": Asks(for_users=(retrieval.RETRIEVAL_CREATE, operations.OPERATION_CANCEL["retriever"])),
    "retriever": Asks(
        for_users=(
            *(k.DATASET_GET, k.DATASET_LIFECYCLE, k.JOB_UPDATE),
            *(k.DATABLOCK_LIST, k.DATABLOCK_FILES, k.DATABLOCK_REPORT),
            *(c.SESSION_GET, c.RESULT_GET, c.RESULT_COMPLETE, c.RESULT_ABORT),
        )
    ),
    "broker": Asks(
        by_grant=(k.DATASET_LOCATE, *AT_OFFER), for_itself=(sites.SITE_ENTER, sites.SITE_PARTITION, sites.SITE_GRANT)
    ),
}
"""By service."""


def _subjects(endpoints: Endpoints) -> frozenset[str]:
    return frozenset(one.subject for one in endpoints)


FOR_USERS: Final = {service: _subjects(asks.for_users) for service, asks in ASKS.items() if service != "gateway"}
FOR_ITSELF: Final = {service: _subjects(asks.for_itself) for service, asks in ASKS.items() if service != "gateway"}
"""The subjects that a service may sign for. The gateway knows the users, and signs for whatever they ask."""
