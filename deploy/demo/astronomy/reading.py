"""FITS files from bytes."""

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any

from astropy.io import fits


class Unreadable(Exception):
    """The text says what and why, as "Type: message", on one line, and names no temporary file."""


@contextmanager
def opened(name: str, data: bytes) -> Iterator[Any]:
    """The HDUs (astropy's HDUList) of the file of that name. What astropy warns of is printed, each text once.

    Raises Unreadable for whatever goes wrong inside: with a file from anywhere, anything may.
    """
    path = ""
    try:
        # By way of a file: astropy unpacks some compressions only if it can look at the name.
        with tempfile.NamedTemporaryFile(suffix="".join(PurePosixPath(name).suffixes)) as file, _printed(name):
            path = file.name
            file.write(data)
            file.flush()
            with fits.open(path) as hdus:
                yield hdus
    except Exception as error:
        # The temporary name differs from run to run, and the record must not.
        raise Unreadable(described(error).replace(path or name, name)) from error


def described(error: Exception) -> str:
    """An error on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


@contextmanager
def _printed(name: str) -> Iterator[None]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        finally:
            for text in dict.fromkeys(" ".join(str(warning.message).split()) for warning in caught):
                print(f"{name}: warning: {text}")
