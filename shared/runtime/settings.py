"""Settings come from environment variables only: field `nats_url` of a Struct is `HEADRACE_NATS_URL`."""

import os
from collections.abc import Mapping
from typing import TypeVar

import msgspec

S = TypeVar("S", bound=msgspec.Struct)

PREFIX = "HEADRACE_"


def load(kind: type[S], env: Mapping[str, str] = os.environ) -> S:
    """Reads `kind` from the environment. A missing or malformed value names its variable and ends the process."""
    raw = {
        field.name: env[name] for field in msgspec.structs.fields(kind) if (name := PREFIX + field.name.upper()) in env
    }
    for field in msgspec.structs.fields(kind):
        if field.required and field.name not in raw:
            raise SystemExit(f"{PREFIX}{field.name.upper()} is not set")
    try:
        return msgspec.convert(raw, kind, strict=False)
    except msgspec.ValidationError as error:
        path = str(error).rpartition("$.")[2].rstrip("`")
        raise SystemExit(f"{PREFIX}{path.upper()}: {error}") from None


class ProcessSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What every process has. `log_format`: `json` for machines, `console` for people."""

    log_level: str = "info"
    log_format: str = "json"
