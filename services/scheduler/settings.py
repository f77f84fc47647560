"""The scheduler's settings: HEADRACE_<FIELD>."""

import msgspec

from shared.objects.settings import ObjectsSettings
from shared.service.bootstrap import ServiceSettings


class LeaseSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`lease_seconds`: a worker that is silent for longer has lost its tasks.

    Five heartbeats: with the round that finds it out, and the turn of the next attempt, that is within 15 s of its death.
    """

    lease_seconds: float = 10.0
    beat_seconds: float = 2.0
    recovery_seconds: float = 0.5


class ImportSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`import_prefixes`: under which objects may be imported as results, with commas between them; none: nothing may."""

    import_prefixes: str = ""


class Settings(msgspec.Struct, frozen=True):
    """All settings of the scheduler, by what they are for."""

    service: ServiceSettings
    objects: ObjectsSettings
    leases: LeaseSettings = LeaseSettings()
    imports: ImportSettings = ImportSettings()
