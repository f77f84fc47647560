"""`hr.rpc.<service>.health.check`: can this service do its work?"""

import msgspec


class HealthCheck(msgspec.Struct, frozen=True):
    """The question has no fields."""


class Health(msgspec.Struct, frozen=True):
    """`checks` has one entry per server that the service needs: `ok`, or what is wrong. `since`: RFC 3339."""

    service: str
    version: str
    ok: bool
    checks: dict[str, str]
    since: str
