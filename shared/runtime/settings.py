"""Settings are read from environment variables only: the field `nats_url` of a Struct is `HEADRACE_NATS_URL`."""

import os
from collections.abc import Mapping
from typing import TypeVar

import msgspec

S = TypeVar("S", bound=msgspec.Struct)

PREFIX = "HEADRACE_"


def load(kind: type[S], env: Mapping[str, str] = os.environ) -> S:
    """Reads `kind` from the environment; a field that is a Struct itself is read from the same variables.

    A missing or malformed value names its variable and ends the process.
    """
    values: dict[str, object] = {}
    for field in msgspec.structs.fields(kind):
        name = PREFIX + field.name.upper()
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            values[field.name] = load(field.type, env)
        elif name in env:
            try:
                values[field.name] = msgspec.convert(env[name], field.type, strict=False)
            except msgspec.ValidationError as error:
                raise SystemExit(f"{name}: {error}") from None
        elif field.required:
            raise SystemExit(f"{name} is not set")
    return kind(**values)


class ProcessSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings that every process has. `log_format`: `json` for machines, `console` for people."""

    log_level: str = "info"
    log_format: str = "json"
