"""Probes and metrics, and the documents that the edge serves of itself."""

from pathlib import Path

from litestar.types import ASGIApp

from services.gateway.http.reply import Reply
from services.gateway.http.request import Call
from services.gateway.http.route import Route
from services.gateway.identity.auth import OPS
from services.gateway.ops import metrics
from services.gateway.ops import system_status as survey

_PAGE = Path(__file__).parents[1] / "static" / "index.html"
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"


async def live(call: Call) -> ASGIApp:
    return Reply({"ok": True})


async def ready(call: Call) -> ASGIApp:
    """All five services answer and are well, or 503 saying which are not."""
    found = await call.edge.readiness.health()
    well = all(one.ok for one in found)
    body = {"ok": well, "services": {one.service: "ok" if one.ok else one.checks for one in found}}
    return Reply(body, 200 if well else 503, headers={} if well else {"Retry-After": "1"})


async def scrape(call: Call) -> ASGIApp:
    bus = call.edge.bus
    text = metrics.text(await survey.micro(bus, "STATS"), await survey.streams(bus), await survey.health(bus))
    return Reply(text.encode(), media_type=metrics.MEDIA_TYPE)


async def page(call: Call) -> ASGIApp:
    headers = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
    return Reply(_PAGE.read_bytes(), media_type="text/html; charset=utf-8", headers=headers)


ROUTES = [
    Route(method="GET", path="/health/live", needs=None, handler=live, summary="This process runs."),
    Route(method="GET", path="/health/ready", needs=None, handler=ready, summary="All services can do their work."),
    Route(
        method="GET",
        path="/metrics",
        needs=OPS,
        handler=scrape,
        summary="All services' figures, for Prometheus.",
        gives=metrics.MEDIA_TYPE,
    ),
    Route(method="GET", path="/", needs=None, handler=page, summary="The status page.", gives="text/html"),
]
