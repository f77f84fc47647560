"""Logs: an event key plus context, `log.info("task.released", session=…, count=…)`, one JSON object a line.

The keys are listed in docs/log-events.md. Tokens, passwords and the signatures of presigned URLs are cut out here, whatever
the caller passed.
"""

import contextlib
import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

_SECRET = re.compile(
    r"(X-Amz-(?:Signature|Credential|Security-Token)=|://[^/:@\s]+:(?=[^/@\s]*@)|[Bb]earer\s+)[^&@\s\"']+"
)
_SECRET_KEYS = frozenset({"token", "password", "secret", "secret_key", "authorization"})


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor of structlog: replaces secrets by `***`, found by the name of their key or inside of texts."""
    for key, value in event.items():
        if key in _SECRET_KEYS:
            event[key] = "***"
        elif isinstance(value, str) and ("X-Amz-" in value or "://" in value or "earer" in value):
            event[key] = _SECRET.sub(r"\1***", value)
    return event


class LossyStream:
    """A stream that never fails: what a full disk does not take is lost, and whoever logs goes on with its work."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, text: str) -> None:
        """Writes; an error of the system is ignored."""
        with contextlib.suppress(OSError):
            self._out.write(text)

    def flush(self) -> None:
        """Flushes; an error of the system is ignored."""
        with contextlib.suppress(OSError):
            self._out.flush()


def configure(service: str, level: str = "info", form: str = "json") -> None:
    """Sets up the log of this process on stderr. `form`: `json` for machines, `console` for people."""
    number = getattr(logging, level.upper(), None)
    if not isinstance(number, int):
        raise SystemExit(f"HEADRACE_LOG_LEVEL: {level!r} is not a level")
    renderer: Any = structlog.dev.ConsoleRenderer() if form == "console" else structlog.processors.JSONRenderer()
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.format_exc_info,
        redact,
    ]
    structlog.configure(
        processors=[*processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=LossyStream(sys.stderr)),  # type: ignore[arg-type]
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    # Libraries log through the standard library: same form, warnings and worse.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=processors,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


log: structlog.typing.FilteringBoundLogger = structlog.get_logger()
