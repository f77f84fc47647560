"""What every route may need: the bus, the object store, who may do what."""

import asyncio
from collections.abc import Mapping
from typing import Final

from services.gateway.execution.worksteps import Worksteps
from services.gateway.http.rates import Rates
from services.gateway.identity.audit import Audit
from services.gateway.identity.auth import Auth
from services.gateway.identity.changes import Changes
from services.gateway.identity.passwords import Passwords
from services.gateway.identity.tokens import Tokens
from services.gateway.identity.users import Users
from services.gateway.ops.system_status import Readiness
from shared.bus.client import Bus
from shared.objects.port import Objects
from shared.runtime.admission import Admission
from shared.runtime.clock import Clock, SystemClock
from shared.service.policy import Permissions

STREAMS: Final = 1000
"""Answers that go on until the client hangs up, at a time."""
STREAMS_OF_ONE: Final = 64
"""Such answers of one user, at a time."""

TRANSFERS: Final = 48
"""Values on their way between clients and object storage, at a time: fewer than the store's client has connections."""
TRANSFERS_OF_ONE: Final = 16
"""Such values of one user, at a time."""


class Edge:
    """`stopping` is set when the process ends: answers that go on for ever stop then. `streams`, `transfers`: the places.

    requests_per_second   of one user; twice as many at once
    failures_per_second   requests without a valid token of one address; ten times as many at once
    rates, failures       requests by user, and requests without a valid token by address
    """

    def __init__(
        self,
        bus: Bus,
        objects: Objects,
        auth: Auth,
        tokens: Tokens,
        users: Users,
        changes: Changes,
        worksteps: Worksteps,
        stopping: asyncio.Event,
        permissions: Permissions,
        actions: Mapping[str, str],
        audit: Audit,
        *,
        requests_per_second: int,
        failures_per_second: int,
    ) -> None:
        clock, rate, failures = SystemClock(), requests_per_second, failures_per_second
        self.clock: Clock = clock
        self.users, self.changes, self.passwords = users, changes, Passwords()
        self.rates = Rates("requests of a user", clock, per_second=rate, burst=2 * rate)
        self.failures = Rates("requests without a valid token", clock, per_second=failures, burst=10 * failures)
        self.bus, self.objects, self.auth, self.tokens, self.worksteps = bus, objects, auth, tokens, worksteps
        self.readiness = Readiness(bus, clock)
        self.stopping, self.permissions = stopping, permissions
        self.actions, self.audit = actions, audit
        self.streams = Admission("event streams", most=STREAMS, of_one=STREAMS_OF_ONE)
        self.transfers = Admission("transfers", most=TRANSFERS, of_one=TRANSFERS_OF_ONE, waiting=256)
