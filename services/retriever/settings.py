"""The retriever's settings: HEADRACE_<FIELD>."""

from shared.bus.station import StationSettings
from shared.objects.settings import ObjectsSettings


class Settings(StationSettings, ObjectsSettings, frozen=True, kw_only=True):
    pass
