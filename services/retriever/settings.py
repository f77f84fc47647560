"""The retriever's settings: HEADRACE_<FIELD>."""

import msgspec

from shared.objects.lts import LtsSettings
from shared.objects.settings import AddressSeconds, ObjectsSettings
from shared.service.bootstrap import ServiceSettings


class KeepSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`download_seconds`: how long an address to download from is valid. `retrieval_seconds`: how long a datablock stays in
    retrieval storage after it was asked for, or brought back, and after the last address of it has expired."""

    download_seconds: AddressSeconds = 900
    retrieval_seconds: int = 24 * 3600


class Settings(msgspec.Struct, frozen=True):
    """All settings of the retriever, by what they are for."""

    service: ServiceSettings
    objects: ObjectsSettings
    lts: LtsSettings
    keep: KeepSettings
