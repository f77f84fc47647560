"""The HTTP application and its server: Litestar routes, uvicorn serves, neither does more than it has to."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn
from litestar import Litestar, Request, Response
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp

from services.gateway import openapi, problem
from services.gateway.access import Access
from services.gateway.call import Call
from services.gateway.edge import Edge
from services.gateway.reply import Reply
from services.gateway.route import Route, mount
from services.gateway.routes import archiver, catalogue, compute, data, events, execution, health, ops, watch
from services.gateway.slashes import Slashes
from shared.bus import trace
from shared.contracts.errors import HeadraceError, Internal
from shared.runtime.log import log

ROUTES: list[Route] = [
    *compute.ROUTES,
    *catalogue.ROUTES,
    *archiver.ROUTES,
    *data.ROUTES,
    *execution.ROUTES,
    *watch.ROUTES,
    *events.ROUTES,
    *ops.ROUTES,
    *health.ROUTES,
]
_GRACE = 5
"""Seconds that requests under way have to end when the process stops."""


def application(edge: Edge, version: str) -> ASGIApp:
    """All routes, under one trace and one log line each."""
    spec = Reply(openapi.document(ROUTES, version))

    async def schema(call: Call) -> ASGIApp:
        return spec

    described = Route(
        method="GET", path="/schema/openapi.json", needs=None, handler=schema, summary="This document, OpenAPI 3.1."
    )
    app = Litestar(
        route_handlers=[mount(route, edge) for route in (*ROUTES, described)],
        exception_handlers={HeadraceError: _refused, HTTPException: _refused_by_framework, Exception: _surprised},
        openapi_config=None,
        logging_config=None,
        request_max_body_size=None,  # each route has its own limit: some stream
        debug=False,
    )
    return Access(Slashes(app))


def _answer(error: HeadraceError) -> Response[bytes]:
    body = problem.encode(error, trace.trace_id(trace.current.get()))
    return Response(body, status_code=error.status, media_type=problem.MEDIA_TYPE, headers=problem.headers(error))


def _refused(_: Request[Any, Any, Any], error: HeadraceError) -> Response[bytes]:
    if isinstance(error, Internal):  # the answer names the trace under which this is found
        log.error("http.failed", error=repr(error), exc_info=error)
    return _answer(error)


def _refused_by_framework(_: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    return _answer(problem.of_status(error.status_code, error.detail))


def _surprised(_: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    log.error("http.failed", error=repr(error), exc_info=error)
    return _answer(Internal())


class Server(uvicorn.Server):
    """uvicorn without its own signal handling: the process's lifecycle decides when it ends."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(app: ASGIApp, edge: Edge, host: str, port: int, stop: asyncio.Event) -> None:
    """Serves until `stop` is set, then ends the event streams and lets the other requests finish."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="none",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=_GRACE,
        backlog=1024,
    )
    server = Server(config)
    listener = _listen(host, port)
    log.info("http.listening", host=host, port=listener.getsockname()[1])

    async def end() -> None:
        await stop.wait()
        edge.stopping.set()
        server.should_exit = True

    ending = asyncio.create_task(end())
    try:
        await server.serve(sockets=[listener])
    finally:
        ending.cancel()
        listener.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=1024)
    listener.setblocking(False)
    return listener
