"""JSON schemas of the contracts' Structs, in the dialect that AsyncAPI takes as it stands (draft 7)."""

import inspect
from collections.abc import Iterable
from typing import Any

from shared.contracts.json_schema import schema_components


def schemas(kinds: Iterable[Any]) -> dict[str, Any]:
    """By the Struct's name, with all that they refer to."""
    _, components = schema_components(kinds)
    return {name: _draft7(schema) for name, schema in sorted(components.items())}


def _draft7(node: Any) -> Any:
    """`prefixItems` was `items` then, and what stands beside a `$ref` was not read.

    A union's `discriminator` is left out: AsyncAPI's knows no mapping, and each member's `type` says the same.
    """
    if isinstance(node, list):
        return [_draft7(part) for part in node]
    if not isinstance(node, dict):
        return node
    made = {name: _draft7(part) for name, part in node.items() if name != "discriminator"}
    if isinstance(made.get("description"), str):
        made["description"] = inspect.cleandoc(made["description"])
    if "prefixItems" in made:
        made["items"] = made.pop("prefixItems")
        made["additionalItems"] = False
    if "$ref" in made and len(made) > 1:
        made["allOf"] = [{"$ref": made.pop("$ref")}]
    return made
