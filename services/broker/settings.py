"""The broker's settings: HEADRACE_<FIELD>."""

from typing import Annotated

import msgspec

from shared.contracts.compute import PartitionName
from shared.objects.settings import ObjectsSettings
from shared.service.bootstrap import ServiceSettings

Positive = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """`site`: its name, which is also its partition's. What it has: `site_cores`, `site_memory_gib`.

    `site_storages`: the long-term storages that are near, with commas between them. `site_move_mbps`: megabytes a second that
    come from the others. `offer_seconds`: how long an offer holds what it promises.
    """

    service: ServiceSettings
    objects: ObjectsSettings
    site: PartitionName = "local"
    site_cores: Count = 2
    site_memory_gib: Count = 4
    site_storages: str = ""
    site_move_mbps: Positive = 10.0
    offer_seconds: Positive = 300.0
