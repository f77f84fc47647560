"""docs/endpoints.md: every operation, who may ask for it and how, as shared/contracts/endpoints says."""

from typing import Any, Final

from deploy.generate.markdown import table
from services.gateway.routes import ROUTES
from shared.contracts.endpoint import Change, Endpoint, Steps
from shared.contracts.endpoints import of_service
from shared.contracts.permissions import ROLES
from shared.contracts.subjects import SERVICES

_HEAD: Final = """\
# Every operation

Made from `shared/contracts/endpoints` by `python -m deploy.generate`: edit there. docs/how-to/add-an-endpoint.md says how to add one.

An operation is a request on its subject (`hr.rpc.<service>.<noun>.<verb>` unless another is named). What it does to the service's
state is its kind:

- **query**: nothing; it may be asked again at any time.
- **change**: it runs in one unit of work, once per idempotency key.
- **command**: a change that may also be given durably, by publishing to `hr.cmd.<user>.<service>.<noun>.<verb>`; its outcome is an
  event on `hr.evt.command.<done|rejected>.<sequence>`.
- **steps**: it changes in several units of work, each harmless when repeated.

The permission is checked on each way in: HTTP, `hr.rpc`, `hr.cmd` (adr/0029-who-asks.md). Fields of requests and replies are in
asyncapi.yaml.
"""


def files() -> dict[str, str]:
    """docs/endpoints.md."""
    lines = [_HEAD, "## Roles", ""]
    lines += table(("role", "permissions"), [(role, ", ".join(sorted(given))) for role, given in ROLES.items()])
    routes = _routes()
    for service in SERVICES:
        lines += ["", f"## {service}", ""]
        lines += table(
            ("operation", "kind", "request", "reply", "needs", "over HTTP", "what it does"),
            [_row(one, routes) for one in of_service(service)],
        )
    return {"docs/endpoints.md": "\n".join(lines) + "\n"}


def _row(one: Endpoint[Any, Any], routes: dict[str, list[str]]) -> tuple[str, ...]:
    name = f"`{one.noun}.{one.verb}`"
    return (
        f"{name} on `{one.at}`" if one.at else name,
        kind_of(one),
        f"lines of {one.line.__name__}" if one.line else one.request.__name__,
        one.reply.__name__,
        one.needs or "",
        "<br>".join(f"`{route}`" for route in routes.get(one.name, ())),
        one.summary,
    )


def kind_of(one: Endpoint[Any, Any]) -> str:
    """The word for what an operation does: query, change, command or steps."""
    if one.durable:
        return "command"
    return "change" if isinstance(one, Change) else "steps" if isinstance(one, Steps) else "query"


def _routes() -> dict[str, list[str]]:
    """The HTTP routes that pass a request on to each endpoint."""
    found: dict[str, list[str]] = {}
    for route in ROUTES:
        for asked in route.asks:
            found.setdefault(asked, []).append(f"{route.method} {route.path}")
    return found
