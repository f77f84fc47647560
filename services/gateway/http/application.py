"""The ASGI application: for each request one trace, one caller, one route, one line in the log; for each change and each refusal one
entry in the audit log. Never a token, never a query."""

import secrets
import time
from contextlib import suppress
from typing import Any

import structlog

from services.gateway.edge import Edge
from services.gateway.http.asgi import Message, Receive, Response, Scope, Send
from services.gateway.http.domain import Domain
from services.gateway.http.errors import MethodNotAllowed, headers
from services.gateway.http.reply import Reply
from services.gateway.http.request import ClientGoneError, Request
from services.gateway.http.routing import Router, segments
from shared.bus import trace
from shared.contracts.errors import HeadraceError, Internal, Unauthenticated
from shared.runtime.log import log
from shared.service.context import Context
from shared.service.policy import require

_QUIET = ("/health/", "/metrics")
"""Addresses whose successes are logged at level debug: they are asked for all the time."""


class _HeadAnsweredError(Exception):
    """HEAD was answered: whatever would have made the body is to stop."""


def span_of(header: str | None) -> str:
    """The caller's trace with a span of our own, or a new trace."""
    parent = trace.accept(header)
    return f"{parent[:36]}{secrets.token_hex(8)}{parent[52:]}"


class Application:
    """All domains. Of those whose prefix an address has, the longest one answers."""

    def __init__(self, edge: Edge, domains: list[Domain]) -> None:
        self._edge = edge
        prefixes = [domain.prefix for domain in domains]
        assert len({*prefixes}) == len(prefixes), f"a prefix has two domains: {prefixes}"
        by_length = sorted(domains, key=lambda domain: len(domain.prefix), reverse=True)
        self._domains = [(domain, Router(domain.routes)) for domain in by_length]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"  # the server speaks nothing else: no lifespan, no websockets
        began = time.perf_counter()
        sent = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"traceparent"), None)
        parent = span_of(sent)
        token = trace.current.set(parent)
        status = 0

        async def send_traced(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"traceparent", parent.encode())]
            await send(message)
            if scope["method"] == "HEAD":
                await send({"type": "http.response.body", "body": b""})
                raise _HeadAnsweredError

        path = scope["path"]
        request = Request(self._edge, scope, receive, Context(user="", via="http", trace=parent))
        domain, router = next(one for one in self._domains if path.startswith(one[0].prefix))
        with structlog.contextvars.bound_contextvars(trace=trace.trace_id(parent)):
            try:
                try:
                    await (await self._response(domain, router, request))(scope, receive, send_traced)
                except _HeadAnsweredError:
                    pass
                except Exception as error:
                    if status:  # the answer has begun: all that is left is to end the connection
                        raise
                    with suppress(_HeadAnsweredError):
                        await _refusal(domain, error, trace.trace_id(parent))(scope, receive, send_traced)
            finally:
                trace.current.reset(token)
                self._audit(request, status, trace.trace_id(parent))
                write = log.debug if path.startswith(_QUIET) and status < 400 else log.info
                write(
                    "http.request",
                    method=scope["method"],
                    path=path[:200],
                    status=status,
                    ms=round((time.perf_counter() - began) * 1000, 1),
                    user=request.context.user,
                )

    async def _response(self, domain: Domain, router: Router, request: Request) -> Response:
        scope = request.scope
        routes, values = router.find(segments(scope, encoded_slash=domain.encoded_slash))
        method = scope["method"]
        route = routes.get("GET" if method == "HEAD" else method)
        if route is None:
            allowed = MethodNotAllowed([*routes, "OPTIONS", *(["HEAD"] if "GET" in routes else [])])
            if method == "OPTIONS":
                return Reply(status=204, headers=headers(allowed))
            raise allowed
        request.action, request.thing = route.action, route.resource(values)
        if route.method != "GET":
            self._edge.audit.check_room()
        if route.needs is not None:
            request.context = await self._caller(request)
            await require(
                self._edge.permissions, request.context, route.action, route.needs, lambda: route.resource(values)
            )
        try:
            return await route.handler(request, await route.read(request, values, domain.read_query))
        except ClientGoneError:
            return Reply(status=499)

    def _audit(self, request: Request, status: int, traced: str) -> None:
        """Changes, and what was refused for who asked or how often."""
        scope = request.scope
        if scope["method"] in ("GET", "HEAD", "OPTIONS") and status not in (401, 403, 429):
            return
        client = (scope.get("client") or ("",))[0]
        self._edge.audit.record(request.context.user, "http", client, request.action, request.thing, status, traced)

    async def _caller(self, request: Request) -> Context:
        """Who asks. RateLimited, before anything is done, if that user, or the address of who is none, asks too often."""
        try:
            found = await self._edge.auth.context(request.header(b"authorization"), request.context.trace)
        except Unauthenticated:
            client = request.scope.get("client") or ("",)
            self._edge.failures.take(client[0])
            raise
        self._edge.rates.take(found.user)
        return found


def _refusal(domain: Domain, error: Exception, traced: str) -> Any:
    """The answer to an error. What nobody foresaw is logged, and the answer names the trace under which it is found."""
    known = error if isinstance(error, HeadraceError) else Internal()
    if isinstance(known, Internal):
        log.error("http.failed", error=repr(error), exc_info=error)
    return domain.errors(known, traced)
