"""A worker's settings: HEADRACE_<FIELD>, and the command line for what differs between workers of one machine."""

from shared.bus.client import BusSettings
from shared.objects.settings import ObjectsSettings
from shared.runtime.settings import ProcessSettings


class Settings(BusSettings, ObjectsSettings, ProcessSettings, frozen=True, kw_only=True):
    drain_seconds: float = 10.0
