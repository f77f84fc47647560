"""Where Headrace is, and the token that it knows us by."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from shared.client.cli.trouble import UsageError

FOLDER = ".headrace"


class Address(msgspec.Struct, frozen=True):
    url: str
    token: str


def find(env: Mapping[str, str] = os.environ, start: Path | None = None) -> Address:
    """From the environment, otherwise from the nearest `.headrace/` of the current folder and those above."""
    url, token = env.get("HEADRACE_HTTP_URL", ""), env.get("HEADRACE_TOKEN", "")
    folder = _folder(start or Path.cwd())
    if not url:
        url = _url(folder)
    if not token and folder is not None:
        token = _read(folder / "token")
    if not token:
        raise UsageError("no token: set HEADRACE_TOKEN")
    return Address(url.rstrip("/"), token)


def _folder(start: Path) -> Path | None:
    return next((path / FOLDER for path in (start, *start.parents) if (path / FOLDER).is_dir()), None)


def _url(folder: Path | None) -> str:
    if folder is None:
        raise UsageError(f"no {FOLDER}/ here or above: start Headrace with `make run`, or set HEADRACE_HTTP_URL")
    try:
        return str(json.loads(_read(folder / "address.json"))["http"])
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"{folder}/address.json says no address: does Headrace run?") from None


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None
