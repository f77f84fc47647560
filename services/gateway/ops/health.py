"""Probes and metrics, and the status page."""

from pathlib import Path
from typing import Final

from services.gateway.http.asgi import Response
from services.gateway.http.reply import Reply
from services.gateway.http.request import Request
from services.gateway.http.route import Route
from services.gateway.ops import metrics, system_status
from shared.contracts.permissions import OPS

_PAGE: Final = Path(__file__).parents[1] / "static" / "index.html"
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"


async def live(request: Request, _: object) -> Response:
    """This process runs."""
    return Reply({"ok": True})


async def ready(request: Request, _: object) -> Response:
    """All five services answer and are well, or 503 with those that are not."""
    found = await request.edge.readiness.health()
    well = all(one.ok for one in found)
    body = {"ok": well, "services": {one.service: "ok" if one.ok else one.checks for one in found}}
    return Reply(body, 200 if well else 503, headers={} if well else {"Retry-After": "1"})


async def scrape(request: Request, _: object) -> Response:
    """The figures of all services, as Prometheus reads them."""
    bus = request.edge.bus
    stats = await system_status.micro(bus, "STATS")
    text = metrics.text(stats, await system_status.streams(bus), await system_status.health(bus))
    return Reply(text.encode(), media_type=metrics.MEDIA_TYPE)


async def page(request: Request, _: object) -> Response:
    """The status page."""
    headers = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
    return Reply(_PAGE.read_bytes(), media_type="text/html; charset=utf-8", headers=headers)


ROUTES: Final = [
    Route(method="GET", path="/health/live", needs=None, handler=live, summary="This process runs."),
    Route(method="GET", path="/health/ready", needs=None, handler=ready, summary="All services can do their work."),
    Route(
        method="GET",
        path="/metrics",
        needs=OPS,
        action="system.metrics",
        handler=scrape,
        summary="All services' figures, for Prometheus.",
        gives=metrics.MEDIA_TYPE,
    ),
    Route(method="GET", path="/", needs=None, handler=page, summary="The status page.", gives="text/html"),
]
