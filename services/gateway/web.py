"""The HTTP application: Litestar does the routing and nothing else."""

from typing import Any

from litestar import Litestar, Request, Response
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp

from services.gateway.compute import routes as compute
from services.gateway.data import archiver, catalogue
from services.gateway.data import routes as data
from services.gateway.edge import Edge
from services.gateway.events import routes as events
from services.gateway.events import watch_routes as watch
from services.gateway.execution import routes as execution
from services.gateway.http import errors as problem
from services.gateway.http import openapi
from services.gateway.http.access import Access
from services.gateway.http.encoded_slash import Slashes
from services.gateway.http.reply import Reply
from services.gateway.http.request import Call
from services.gateway.http.route import Route, mount
from services.gateway.ops import health
from services.gateway.ops import routes as ops
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
