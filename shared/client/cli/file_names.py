"""Names that are two in the dataset and may be one on a disk that passes over case, or over how an accent is written."""

import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from uuid import uuid4

from shared.client.errors import FailedError


def folded(path: str) -> str:
    """The same for names that some file systems take for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())


class FileNames:
    """The paths that a folder is to hold. FailedError for two that are the same to its disk: one would replace the other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[str, str] = {}
        self._merges: bool | None = None

    def add(self, paths: Iterable[str]) -> None:
        """Paths seen before are no harm."""
        for path in paths:
            other = self._seen.setdefault(folded(path), path)
            if other != path and self._is_one_place():
                raise FailedError(
                    f"{other!r} and {path!r} are two files of the dataset, and one name in {self._folder}"
                )

    def _is_one_place(self) -> bool:
        if self._merges is None:
            self._merges = merges(self._folder)
        return self._merges


def merges(folder: Path) -> bool:
    """Whether this folder's disk takes names for one that differ in case, or in how an accent is written."""
    name = f".headrace-{uuid4().hex}é"
    probe = folder / name
    probe.touch(exist_ok=False)
    try:
        variants = (name.upper(), unicodedata.normalize("NFD", name))
        return any(os.path.lexists(folder / variant) for variant in variants)
    finally:
        probe.unlink(missing_ok=True)
