"""The OpenAPI 3.1 document, made from the rows that route and from the types that they read: it cannot differ from what is served.

msgspec makes the schemas; they say what the decoder enforces, also that unknown fields are refused.
"""

from typing import Any, Final

import msgspec

from services.gateway.http.asgi import Response
from services.gateway.http.domain import Domain
from services.gateway.http.errors import MEDIA_TYPE as PROBLEM
from services.gateway.http.errors import Problem
from services.gateway.http.fields import Form, forms
from services.gateway.http.reply import Reply
from services.gateway.http.request import Request
from services.gateway.http.route import Route
from shared.contracts.json_schema import schema_components

_BYTES: Final = {"type": "string", "format": "binary"}


def domain(domains: list[Domain], version: str) -> Domain:
    """Where the document of `domains` is served; it describes itself, too."""

    async def schema(request: Request, _: object) -> Response:
        return reply

    summary = "This document, OpenAPI 3.1."
    route = Route(method="GET", path="/schema/openapi.json", needs=None, handler=schema, summary=summary)
    made = Domain(prefix="/schema", routes=[route])
    reply = Reply(document([*(route for one in domains for route in one.routes), route], version))
    return made


def document(routes: list[Route], version: str) -> dict[str, Any]:
    """The whole document."""
    kinds = {kind: None for route in routes for kind in (route.body, route.reply) if kind not in (None, bytes)}
    schemas, components = schema_components([*kinds, Problem])
    known = dict(zip([*kinds, Problem], schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, known, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Headrace",
            "version": version,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route, known: dict[Any, dict[str, Any]], components: dict[str, Any]) -> dict[str, Any]:
    success: dict[str, Any] = {"description": "Done."}
    if route.status != 204:
        schema = known.get(route.reply, _BYTES if route.gives == "application/octet-stream" else {})
        success["content"] = {route.gives: {"schema": schema}}
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": _name(route),
        "tags": [route.path.split("/")[1] or "page"],
        "parameters": _parameters(route, components),
        "responses": {
            str(route.status): success,
            "default": {"description": "What is wrong.", "content": {PROBLEM: {"schema": known[Problem]}}},
        },
        "security": [{"bearer": []}] if route.needs else [],
    }
    if route.needs:
        operation["description"] = f"Needs the permission `{route.needs}`."
    if route.body is not None:
        schema = known.get(route.body, _BYTES)
        optional = route.stream is None and not any(one.required for one in msgspec.structs.fields(route.body))
        operation["requestBody"] = {
            "required": not optional,
            "content": {media: {"schema": schema} for media in route.takes},
        }
    return operation


def _name(route: Route) -> str:
    words = [word.strip("{}") for word in route.path.split("/")[1:] if word and word not in ("v1",)]
    return "_".join([route.method.lower(), *words]) or "get"


def _parameters(route: Route, components: dict[str, Any]) -> list[dict[str, Any]]:
    """What the address gives and what the query may say, as `fields` reads it. Adds the schemas that they refer to."""
    (schema,), found = schema_components([route.message])
    own = found.pop(schema["$ref"].rpartition("/")[2])
    in_query = msgspec.structs.fields(route.query) if route.query else ()
    places = dict.fromkeys(route.parameters, "path") | {field.encode_name: "query" for field in in_query}
    parameters = []
    for name, place in places.items():
        kind, form = own["properties"][name], forms(route.message)[name]
        parameter = {"name": name, "in": place, "required": name in own.get("required", ())}
        if form is Form.JSON:
            parameter["content"] = {"application/json": {"schema": kind}}
        elif form is Form.LIST:
            parameter |= {"schema": kind, "style": "form", "explode": False}
        else:
            parameter["schema"] = kind
        if description := kind.get("description"):
            parameter["description"] = description
        parameters.append(parameter)
    components.update({name: kind for name, kind in found.items() if places})
    return parameters
