"""The outermost layer: one trace context and one log line for every request. Never a token, never a query."""

import secrets
import time
from typing import Any

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from shared.bus import trace
from shared.runtime.log import log

_CALLER = "headrace.caller"
_QUIET = ("/health/", "/metrics")


def note_caller(scope: Scope, user: str) -> None:
    """Who it was, for the log."""
    scope[_CALLER] = user  # type: ignore[literal-required]


def span_of(header: str | None) -> str:
    """The caller's trace with a span of our own, or a new trace."""
    parent = trace.accept(header)
    return f"{parent[:36]}{secrets.token_hex(8)}{parent[52:]}"


class Access:
    """Wraps the whole application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == ScopeType.HTTP  # the server speaks nothing else: no lifespan, no websockets
        began = time.perf_counter()
        sent = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"traceparent"), None)
        parent = span_of(sent)
        token = trace.current.set(parent)
        status = 0

        async def answer(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"traceparent", parent.encode())]
            await send(message)

        path = scope["path"]
        with structlog.contextvars.bound_contextvars(trace=trace.trace_id(parent)):
            try:
                await self._app(scope, receive, answer)
            finally:
                trace.current.reset(token)
                write = log.debug if path.startswith(_QUIET) and status < 400 else log.info
                write(
                    "http.request",
                    method=scope["method"],
                    path=path[:200],
                    status=status,
                    ms=round((time.perf_counter() - began) * 1000, 1),
                    user=scope.get(_CALLER, ""),
                )
