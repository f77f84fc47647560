"""Where Headrace is, and the token that it knows us by."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from shared.client.errors import UsageError

FOLDER = ".headrace"
URL, TOKEN = "HEADRACE_HTTP_URL", "HEADRACE_TOKEN"


class Address(msgspec.Struct, frozen=True):
    """`url`: of the HTTP edge, without a slash at its end. `token`: the bearer token."""

    url: str
    token: str


def find(env: Mapping[str, str] = os.environ, start: Path | None = None) -> Address:
    """The address from the environment, otherwise from the nearest `.headrace/` of a folder and those above it.

    `start`: that folder; the current one if not given. Each of the two settings is looked for by itself. UsageError names
    everything that is missing at once.
    """
    url, token = env.get(URL, ""), env.get(TOKEN, "")
    folder = _folder(start or Path.cwd())
    if folder is None:
        missing = [name for name, value in ((URL, url), (TOKEN, token)) if not value]
        if missing:
            raise UsageError(
                f"no {FOLDER}/ here or above: set {' and '.join(missing)}, or call this from the folder in which `make run` runs"
            )
        return Address(url.rstrip("/"), token)
    faults = []
    if not url:
        url = _url(folder)
        if not url:
            faults.append(f"{folder}/address.json names no address (does Headrace run?): set {URL}")
    if not token:
        token = _read(folder / "token")
        if not token:
            faults.append(f"{folder}/token holds no token: set {TOKEN}")
    if faults:
        raise UsageError("; ".join(faults))
    return Address(url.rstrip("/"), token)


def _folder(start: Path) -> Path | None:
    return next((path / FOLDER for path in (start, *start.parents) if (path / FOLDER).is_dir()), None)


def _url(folder: Path) -> str:
    try:
        return str(json.loads(_read(folder / "address.json"))["http"])
    except (ValueError, KeyError, TypeError):
        return ""


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None
