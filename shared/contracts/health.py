"""Whether a service can do its work."""

import msgspec


class HealthCheck(msgspec.Struct, frozen=True):
    """Asks a service for its health. It has no fields."""


class Health(msgspec.Struct, frozen=True):
    """The health of a service.

    checks   for each server that the service needs: `ok`, or what is wrong
    since    when the process started; RFC 3339
    """

    service: str
    version: str
    ok: bool
    checks: dict[str, str]
    since: str
