"""The scheduler's settings: HEADRACE_<FIELD>."""

from shared.bus.station import StationSettings


class Settings(StationSettings, frozen=True, kw_only=True):
    """`lease_seconds`: a worker that is silent for longer has lost its tasks."""

    lease_seconds: float = 15.0
    beat_seconds: float = 2.0
    recovery_seconds: float = 0.5
