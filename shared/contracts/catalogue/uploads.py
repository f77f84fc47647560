"""Uploads of registered files."""

from typing import Annotated

import msgspec

from shared.contracts.catalogue.names import MOST_FILES, FilePath, Pid
from shared.contracts.paging import PageSize


class UploadQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Asks which of the registered files are uploaded, in the order of their paths; those after `token`."""

    pid: Pid
    size: PageSize = 500
    token: str = ""


class UploadFile(msgspec.Struct, frozen=True):
    """A registered file. `uploaded`: it is in the landing zone, whole: it need not be sent again."""

    path: str
    size: int
    chk: str
    uploaded: bool


class UploadPage(msgspec.Struct, frozen=True):
    """A page of registered files. `next`: the token of the next page, empty on the last one."""

    items: list[UploadFile]
    next: str = ""


class UploadSign(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Asks for addresses to upload files to."""

    pid: Pid
    paths: Annotated[list[FilePath], msgspec.Meta(min_length=1, max_length=MOST_FILES)]


class UploadUrl(msgspec.Struct, frozen=True):
    """`url` is a secret: it writes this file, and no other bytes, until it expires, in one PUT with these `headers` and the file's
    Content-Length. Once it has expired, the same request gives another."""

    path: str
    url: str
    headers: dict[str, str] = {}


class UploadUrls(msgspec.Struct, frozen=True):
    """Addresses to upload to."""

    urls: list[UploadUrl]
    expires_at: str
