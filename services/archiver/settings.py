"""The archiver's settings: HEADRACE_<FIELD>."""

import msgspec

from shared.objects.lts import LtsSettings
from shared.objects.settings import AddressSeconds, ObjectsSettings
from shared.service.bootstrap import ServiceSettings


class PackSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`datablock_mib`: bytes of files that a datablock aims at (tape likes 1 GB and more). `upload_seconds`: how long an
    address to upload to is valid. `landing_seconds`: how long an upload stays that is not continued."""

    datablock_mib: int = 20_000
    upload_seconds: AddressSeconds = 900
    landing_seconds: int = 7 * 24 * 3600


class Settings(msgspec.Struct, frozen=True):
    """All settings of the archiver, by what they are for."""

    service: ServiceSettings
    objects: ObjectsSettings
    lts: LtsSettings
    pack: PackSettings
