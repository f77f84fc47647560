"""The archiver's settings: HEADRACE_<FIELD>."""

import msgspec

from shared.bus.station import StationSettings
from shared.objects.settings import ObjectsSettings


class Settings(msgspec.Struct, frozen=True):
    station: StationSettings
    objects: ObjectsSettings
