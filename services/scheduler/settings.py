"""The scheduler's settings: HEADRACE_<FIELD>."""

import msgspec

from shared.bus.station import StationSettings
from shared.objects.settings import ObjectsSettings


class LeaseSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`lease_seconds`: a worker that is silent for longer has lost its tasks."""

    lease_seconds: float = 15.0
    beat_seconds: float = 2.0
    recovery_seconds: float = 0.5


class Settings(msgspec.Struct, frozen=True):
    station: StationSettings
    objects: ObjectsSettings
    leases: LeaseSettings = LeaseSettings()
