"""The OpenAPI 3.1 document, made from the same rows that route: it cannot differ from what is served.

msgspec makes the schemas; they say what the decoder enforces, also that unknown fields are refused.
"""

from typing import Annotated, Any

import msgspec

from services.gateway.compute.submissions import SubmissionBody
from services.gateway.http.errors import MEDIA_TYPE as PROBLEM
from services.gateway.http.errors import Problem
from services.gateway.http.route import Route
from shared.contracts.compute import Condition, Options, TaskSpec

TaskLine = msgspec.defstruct(
    "TaskSpec",
    [
        ("payload", Any, None)
        if f.name == "payload"
        else (f.name, f.type, f.default_factory() if f.default is msgspec.NODEFAULT else f.default)
        for f in msgspec.structs.fields(TaskSpec)
    ],
    forbid_unknown_fields=True,
    namespace={"__doc__": TaskSpec.__doc__},
)
"""TaskSpec with a payload that a schema can describe: msgspec has none for raw JSON."""


class SubmissionShown(msgspec.Struct, forbid_unknown_fields=True):
    """`tasks` in order; `options` hold for all of them."""

    tasks: Annotated[list[TaskLine], msgspec.Meta(min_length=1)]  # type: ignore[valid-type]
    options: Options | None = None


_SHOWN = {SubmissionBody: SubmissionShown}
_REFS = "#/components/schemas/{name}"
_TEXTS = frozenset({"pid"})
"""Path parameters that are not UUIDs."""
_ABOUT = {
    "where": (
        "Only what fits: an OR of ANDs of conditions, as JSON. "
        'Example: [[{"field": "status", "value": "error"}, {"field": "priority", "op": ">", "value": 5}]]'
    ),
    "sort": "The field that the list is sorted by, with - before it for the other way round. Example: -ended_at",
}
_TEXT = {"type": "string"}
_UUID = {"type": "string", "format": "uuid"}
_BINARY = {"type": "string", "format": "binary"}


def document(routes: list[Route], version: str) -> dict[str, Any]:
    """The whole document."""
    kinds = [k for r in routes for k in (r.body, r.reply) if k is not None and k is not bytes]
    kinds = list(dict.fromkeys([*kinds, Condition, Problem]))
    schemas, components = msgspec.json.schema_components([_SHOWN.get(k, k) for k in kinds], ref_template=_REFS)
    known = dict(zip(kinds, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, known)
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


def _operation(route: Route, known: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    answers: dict[str, Any] = {"description": "Done."}
    if route.status != 204:
        schema = known.get(route.reply, _BINARY if route.gives == "application/octet-stream" else {})
        answers["content"] = {route.gives: {"schema": schema}}
    told: dict[str, Any] = {
        "summary": route.summary,
        "operationId": _name(route),
        "tags": [route.path.split("/")[1] or "page"],
        "parameters": [*_in_path(route), *_in_query(route)],
        "responses": {
            str(route.status): answers,
            "default": {"description": "What is wrong.", "content": {PROBLEM: {"schema": known[Problem]}}},
        },
        "security": [{"bearer": []}] if route.needs else [],
    }
    if route.needs:
        told["description"] = f"Needs the permission `{route.needs}`."
    if route.body is not None:
        schema = known.get(route.body, _BINARY)
        told["requestBody"] = {"required": True, "content": {media: {"schema": schema} for media in route.takes}}
    return told


def _name(route: Route) -> str:
    words = [word.strip("{}") for word in route.path.split("/")[1:] if word and word not in ("v1",)]
    return "_".join([route.method.lower(), *words]) or "get"


def _in_path(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": _TEXT if name in _TEXTS else _UUID}
        for name in route.parameters
    ]


def _in_query(route: Route) -> list[dict[str, Any]]:
    if route.query is None:
        return []
    _, components = msgspec.json.schema_components([route.query], ref_template=_REFS)
    schema = components[route.query.__name__]
    needed = schema.get("required", [])
    told: list[dict[str, Any]] = []
    for name, kind in schema["properties"].items():
        one: dict[str, Any] = {"name": name, "in": "query", "required": name in needed}
        if name in _ABOUT:
            one["description"] = _ABOUT[name]
        # What is JSON in the query says so.
        told.append(
            one | ({"content": {"application/json": {"schema": kind}}} if name == "where" else {"schema": kind})
        )
    return told
