"""JSON schemas of Structs, for the documents that are made from the contracts."""

import types
from collections.abc import Iterable
from functools import cache, reduce
from operator import or_
from typing import Annotated, Any, Final, Union, get_args, get_origin

import msgspec

REFS: Final = "#/components/schemas/{name}"


def schema_components(kinds: Iterable[Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The schema of each type, and the named schemas that they refer to, by name."""
    schemas, components = msgspec.json.schema_components([_shown(kind) for kind in kinds], ref_template=REFS)
    return list(schemas), components


def _shown(kind: Any) -> Any:
    """The type with Any in place of raw JSON: msgspec has no schema for a Raw that has a default."""
    if kind is msgspec.Raw:
        return Any
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _shown_struct(kind)
    origin, inner = get_origin(kind), get_args(kind)
    if origin is None or not inner:
        return kind
    if origin is Annotated:
        return Annotated[_shown(inner[0]), *inner[1:]]
    seen = tuple(_shown(part) for part in inner)
    if seen == inner:
        return kind
    return reduce(or_, seen) if origin in (Union, types.UnionType) else origin[seen]


@cache
def _shown_struct(kind: type[msgspec.Struct]) -> type[msgspec.Struct]:
    fields = msgspec.structs.fields(kind)
    seen = [_shown(field.type) for field in fields]
    if all(new is field.type or new == field.type for new, field in zip(seen, fields, strict=True)):
        return kind
    made = [(field.name, new, *_default(field)) for new, field in zip(seen, fields, strict=True)]
    config = kind.__struct_config__
    return msgspec.defstruct(
        kind.__name__,
        made,
        tag_field=config.tag_field,
        tag=config.tag,
        forbid_unknown_fields=config.forbid_unknown_fields,
        kw_only=True,
        namespace={"__doc__": kind.__doc__},
    )


def _default(field: msgspec.structs.FieldInfo) -> tuple[Any, ...]:
    if isinstance(field.default, msgspec.Raw):
        return (msgspec.json.decode(field.default),)
    if field.default is not msgspec.NODEFAULT:
        return (field.default,)
    if field.default_factory is not msgspec.NODEFAULT:
        return (msgspec.field(default_factory=field.default_factory),)
    return ()
