"""The one reader of archives that come from elsewhere: plain tars, of which only ordinary files count.

Everything is looked at before anything is read or written. What is refused: names that lead out of the folder or that no file of ours
could have, two members of one name, links, devices, pipes, sparse files (a few bytes that claim to be terabytes), headers that are
themselves huge or lead backwards, members that are larger than the archive. An archive is not compressed, so that what is unpacked is
no larger than what was received.
"""

import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, BinaryIO, Final, Self

from shared.contracts.errors import Invalid, TooLarge
from shared.objects.layout import check_name, check_path

MOST_MEMBERS: Final = 4_000_000
LONGEST_HEADER: Final = 64 * 1024
"""Bytes of an extended header: of a path, and a few numbers."""
_EXTENDED: Final = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_BROKEN: Final = (tarfile.TarError, ValueError, OverflowError, EOFError, RecursionError)
"""What `tarfile` raises for archives that are none; UnicodeError is a ValueError."""


class _Header(tarfile.TarInfo):
    """A header, looked at before `tarfile` reads what it announces."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        header = super().frombuf(buf, encoding, errors)
        if header.size < 0 or (header.type in _EXTENDED and header.size > LONGEST_HEADER):
            raise Invalid(f"a header of {header.size} bytes")
        return header


class TarReader:
    """The files of a tar, by the names that they have there. Invalid if anything in it is refused.

    `source`: open for reading, and seekable. `files`: name → member, in the order of the tar.
    """

    def __init__(self, source: BinaryIO, *, most: int = MOST_MEMBERS) -> None:
        size = source.seek(0, os.SEEK_END)
        source.seek(0)
        with _reading():
            self._tar = tarfile.open(fileobj=source, mode="r:", tarinfo=_Header)  # noqa: SIM115
            self.files = dict(self._checked(size, most))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tar.close()

    def _checked(self, size: int, most: int) -> Iterator[tuple[str, tarfile.TarInfo]]:
        before, seen = -1, set[str]()
        while (member := self._tar.next()) is not None:
            _check(member)
            if member.offset <= before or member.size < 0 or member.offset_data + member.size > size:
                raise Invalid(f"{member.name!r} is not where, or as large as, the archive says")
            before = member.offset
            if len(seen) == most:
                raise Invalid(f"it has more than {most} members")
            if member.name in seen:
                raise Invalid(f"{member.name!r} stands twice")
            seen.add(member.name)
            if member.isreg():
                yield member.name, member

    def open(self, name: str) -> IO[bytes]:
        """The bytes of a file."""
        file = self._tar.extractfile(self.files[name])
        assert file is not None
        return file

    def read(self, name: str, *, limit: int) -> bytes:
        """A file whole; TooLarge if it has more than `limit` bytes, KeyError if there is none."""
        if (size := self.files[name].size) > limit:
            raise TooLarge(f"{name!r} has {size} bytes, {limit} at most are read")
        with _reading(), self.open(name) as file:
            return file.read()

    def target(self, name: str, path: str, folder: Path) -> Path:
        """Where a file belongs that is called `path` in `folder`; Invalid if a link in the folder leads out of it."""
        check_path(path)
        try:
            tarfile.data_filter(self.files[name].replace(name=path, deep=False), str(folder))
        except tarfile.FilterError as error:
            raise Invalid(str(error)) from None
        return folder / path


def _check(member: tarfile.TarInfo) -> None:
    for segment in member.name.split("/"):
        try:
            check_name(segment)
        except Invalid as error:
            raise Invalid(f"{member.name!r} is not unpacked: {error.message}") from None
    if not (member.isreg() or member.isdir()) or member.issparse():
        raise Invalid(f"{member.name!r} is not unpacked: not a plain file")


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        raise Invalid(f"not a tar: {error}") from None
