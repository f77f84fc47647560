"""Where object storage is and how to be let in."""

from typing import Annotated
from urllib.parse import urlsplit
from uuid import UUID

import msgspec

from shared.objects.port import LONGEST_EXPIRY

AddressSeconds = Annotated[int, msgspec.Meta(ge=1, le=int(LONGEST_EXPIRY.total_seconds()))]
"""How long an address that is handed out is valid."""


class ObjectsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`s3_public_endpoint`: what presigned URLs name, if users reach the store by another address than the services.

    `s3_patience`: seconds for which a store that is away is waited for before a call fails. `s3_storage_id`: the bucket's
    identity, as its marker says it (identity.py); if it is not given, the one that is seen first counts. `s3_ca_file`: the
    certificates that the store's is checked against (PEM), if not the system's.
    """

    s3_endpoint: str
    s3_access_key: str
    s3_secret_key: str
    s3_region: str = "us-east-1"
    s3_bucket: str = "headrace"
    s3_public_endpoint: str = ""
    s3_patience: float = 30.0
    s3_storage_id: UUID | None = None
    s3_ca_file: str = ""

    def __repr__(self) -> str:
        return f"ObjectsSettings(s3_endpoint={self.s3_endpoint!r}, s3_bucket={self.s3_bucket!r})"

    @property
    def is_loopback(self) -> bool:
        """Whether the store is on this machine, where a proxy from the environment is of no use."""
        return _is_loopback(self.s3_endpoint)

    def check_encryption(self) -> None:
        """Ends the process if bytes, or addresses that are secrets, would leave this machine in plain text."""
        for name, url in (("S3_ENDPOINT", self.s3_endpoint), ("S3_PUBLIC_ENDPOINT", self.s3_public_endpoint)):
            if url and urlsplit(url).scheme != "https" and not _is_loopback(url):
                raise SystemExit(f"HEADRACE_{name}: https:// is needed but for an address of this machine")


def _is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")
