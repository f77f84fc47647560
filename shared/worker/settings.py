"""A worker's settings: HEADRACE_<FIELD>, and the command line for what differs between workers of one machine."""

import msgspec

from shared.bus.client import BusSettings
from shared.objects.settings import ObjectsSettings


class Settings(msgspec.Struct, frozen=True):
    """`drain_seconds`: how long a worker that gets a signal waits for what runs."""

    bus: BusSettings
    objects: ObjectsSettings
    drain_seconds: float = 10.0
