"""Reads the fields of an address, each by the type that its Struct gives it.

The OpenAPI document describes the same types in the same way (`openapi.py`), so that it cannot say what is not read.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from msgspec import inspect

from services.gateway.http.errors import invalid
from shared.contracts.errors import Invalid
from shared.service.decode import MALFORMED, nul

ReadQuery = Callable[[bytes, Any], dict[str, Any]]
"""From the bytes of a query and the Struct that they are for: the fields, as msgspec converts them."""

_LISTS = (inspect.ListType, inspect.SetType, inspect.FrozenSetType, inspect.VarTupleType)
_SCALARS = (inspect.StrType, inspect.IntType, inspect.UUIDType, inspect.EnumType, inspect.LiteralType)


class Form(Enum):
    """How a field's value stands in a query."""

    TEXT = "as it is"
    LIST = "several values with commas between them"
    JSON = "as JSON"


@cache
def forms(kind: Any) -> Mapping[str, Form]:
    """The form of each field of a Struct, by the name that the field has on the wire."""
    found = inspect.type_info(kind)
    assert isinstance(found, inspect.StructType)
    return {field.encode_name: _form(field.type) for field in found.fields}


def _form(kind: inspect.Type) -> Form:
    if isinstance(kind, inspect.Metadata):
        return _form(kind.type)
    if isinstance(kind, inspect.UnionType):
        found = {_form(one) for one in kind.types if not isinstance(one, inspect.NoneType)}
        return found.pop() if len(found) == 1 else Form.TEXT
    if isinstance(kind, _LISTS):
        item = kind.item_type.type if isinstance(kind.item_type, inspect.Metadata) else kind.item_type
        return Form.LIST if isinstance(item, _SCALARS) else Form.JSON
    return Form.JSON if isinstance(kind, (inspect.StructType, inspect.DictType)) else Form.TEXT


def read_query(raw: bytes, kind: Any) -> dict[str, Any]:
    """The fields of a query, each of which may stand once; those that `kind` does not have, too.

    Raises Invalid for a field that stands twice, or that is not the JSON that it should be.
    """
    if not raw:
        return {}
    pairs = parse_qsl(raw.decode("latin-1"), keep_blank_values=True)
    found: dict[str, Any] = dict(pairs)
    if len(found) != len(pairs):
        raise Invalid("a field of the query stands twice", field="query")
    known = forms(kind)
    return {name: _value(name, text, known.get(name, Form.TEXT)) for name, text in found.items()}


def _value(name: str, text: str, form: Form) -> Any:
    if form is Form.LIST:
        return text.split(",")
    return text if form is Form.TEXT else json_value(name, text)


def json_value(name: str, text: str) -> Any:
    """What a JSON text holds. Invalid, with the field's name, if it is none."""
    try:
        return msgspec.json.decode(text)
    except MALFORMED as error:
        raise Invalid(f"JSON is expected here: {error}", field=name) from None


def convert(fields: Mapping[str, Any], kind: Any) -> Any:
    """A Struct from the texts of its fields. Raises Invalid that names the field which is wrong."""
    if (place := nul(fields)) is not None:
        raise Invalid("a text cannot have the character U+0000", field=place)
    try:
        return msgspec.convert(fields, kind, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(error, where="query") from None


@cache
def part(kind: Any, names: frozenset[str], *, inside: bool) -> Any:
    """`kind` with those of its fields only that are among `names` (`inside`) or are not; as strict about unknown fields."""
    fields = [field for field in msgspec.structs.fields(kind) if (field.encode_name in names) is inside]
    if len(fields) == len(kind.__struct_fields__):
        return kind
    config = kind.__struct_config__
    made = msgspec.defstruct(
        f"{kind.__name__}Body",
        [(field.name, field.type, *_default(field)) for field in fields],
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
        rename={field.name: field.encode_name for field in fields},
        **({} if inside else {"tag_field": config.tag_field, "tag": config.tag}),
    )
    made.__doc__ = kind.__doc__
    return made


def _default(field: msgspec.structs.FieldInfo) -> tuple[Any, ...]:
    if field.required:
        return ()
    if field.default is not msgspec.NODEFAULT:
        return (field.default,)
    return (msgspec.field(default_factory=field.default_factory),)
