"""The wire Structs of each contract, and one example of each. `python -m tests.support.wire` writes those of a new version.

A Struct that is added or changed needs a new VERSION in its module; the files of the versions before stay as they are, and
must still decode.
"""

import inspect
import sys
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec

from shared.contracts import catalogue, compute, errors, events, execution, health, operations, retrieval, watch, work

GOLDEN = Path(__file__).parents[1] / "contract/golden"
MODULES: dict[str, types.ModuleType] = {
    "compute": compute,
    "work": work,
    "catalogue": catalogue,
    "retrieval": retrieval,
    "events": events,
    "execution": execution,
    "health": health,
    "operations": operations,
    "watch": watch,
    "errors": errors,
}
VERSIONS = {name: int(getattr(module, "VERSION", 1)) for name, module in MODULES.items()}
_TEXTS = {"duration": "PT2H"}
"""Where a field's own name does not fit its pattern."""
_ID = "019a0000-0000-7000-8000-0000000000"


def structs(module: types.ModuleType) -> dict[str, type[msgspec.Struct]]:
    """The Structs that a module defines, by name."""
    found = {
        name: kind
        for name, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, msgspec.Struct) and (kind.__module__ + ".").startswith(module.__name__ + ".")
    }
    return dict(sorted(found.items()))


def schema(module: types.ModuleType) -> dict[str, Any]:
    """What the wire looks like: each Struct's tag and strictness, each field's type, constraints and default."""
    return {name: shape(kind) for name, kind in structs(module).items()}


def shape(kind: type[msgspec.Struct]) -> dict[str, Any]:
    info, config = msgspec.inspect.type_info(kind), kind.__struct_config__
    assert isinstance(info, msgspec.inspect.StructType)
    return {
        "tag": config.tag,
        "forbid_unknown_fields": config.forbid_unknown_fields,
        "omit_defaults": config.omit_defaults,
        "fields": {
            field.encode_name: {"type": _shape(field.type), **({} if field.required else {"default": _default(field)})}
            for field in info.fields
        },
    }


def _shape(node: Any) -> Any:
    """A type as data; other Structs by their name."""
    if isinstance(node, msgspec.inspect.StructType):
        return node.cls.__name__
    if isinstance(node, tuple):
        return [_shape(each) for each in node]
    if isinstance(node, msgspec.inspect.Metadata):  # a description for people: nothing on the wire
        return _shape(node.type)
    if not isinstance(node, msgspec.inspect.Type):
        return node
    parts = {field.name: getattr(node, field.name) for field in msgspec.structs.fields(type(node))}
    kind = type(node).__name__.removesuffix("Type").lower()
    return {"is": kind, **{key: _shape(value) for key, value in parts.items() if value is not None}}


def _default(field: msgspec.inspect.Field) -> Any:
    value = field.default
    if field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    if value is msgspec.NODEFAULT:  # how an absent field that may be left unset looks
        return "unset"
    return repr(bytes(value)) if isinstance(value, msgspec.Raw) else msgspec.to_builtins(value)


def example(kind: type[msgspec.Struct], seed: int = 1) -> msgspec.Struct:
    """A value with every field set, the same every time."""
    hints = get_type_hints(kind, include_extras=True)
    names = [field.name for field in msgspec.structs.fields(kind) if field.name != "v"]  # `v` says its version itself
    return kind(**{name: _value(hints[name], name, seed + n) for n, name in enumerate(names)})


def _value(hint: Any, name: str, seed: int) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if hasattr(hint, "__metadata__"):
        return _fitting(arguments[0] if origin is None else hint.__origin__, hint.__metadata__, name, seed)
    if origin in (types.UnionType, Union):
        said = (each for each in arguments if each not in (types.NoneType, msgspec.UnsetType))
        return _value(next(said), name, seed)
    if origin is Literal:
        return arguments[seed % len(arguments)]
    if origin is list:
        return [_value(arguments[0], name, seed + n) for n in range(2)]
    if origin is tuple and arguments[-1] is ...:
        return (_value(arguments[0], name, seed),)
    if origin is tuple:
        return tuple(_value(each, name, seed + n) for n, each in enumerate(arguments))
    if origin is dict:
        key = _plain(UUID, name, seed) if arguments[0] is UUID else "key"
        return {key: _value(arguments[1], name, seed)}
    return _plain(hint, name, seed)


def _fitting(hint: Any, constraints: tuple[Any, ...], name: str, seed: int) -> Any:
    """Constrained values: names fit every pattern, numbers lie in every range."""
    if get_origin(hint) or hint not in (str, int, float):
        return _value(hint, name, seed)
    if any((each.pattern or "").startswith("^[0-9a-f]{64}") for each in constraints if isinstance(each, msgspec.Meta)):
        return f"{seed:064x}"
    lowest = max((each.ge or 0 for each in constraints if isinstance(each, msgspec.Meta)), default=0)
    return {str: _TEXTS.get(name, name), int: int(lowest) + seed, float: lowest + seed / 2}[hint]


def _plain(hint: Any, name: str, seed: int) -> Any:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return example(hint, seed)
    return {
        str: f"{name} {seed}",
        int: seed,
        float: seed / 2,
        bool: True,
        bytes: b"bytes %d" % seed,
        UUID: UUID(f"{_ID}{seed % 100:02d}"),
        msgspec.Raw: msgspec.Raw(b'{"raw":%d}' % seed),
        Any: {"any": seed},
    }[hint]


def folder(name: str) -> Path:
    """Where the files of a contract's present version are."""
    return GOLDEN / name / f"v{VERSIONS[name]}"


def files(name: str) -> dict[str, bytes]:
    """What belongs into that folder: an example of each Struct, and the schema of all."""
    module = MODULES[name]
    made = {f"{kind}.json": msgspec.json.encode(example(struct)) for kind, struct in structs(module).items()}
    made["schema.json"] = msgspec.json.format(msgspec.json.encode(schema(module)))
    return {file: data + b"\n" for file, data in made.items()}


def changed(name: str) -> list[str]:
    """The Structs that are not as that folder has them: other, new or gone. None as long as there is no such folder."""
    there = folder(name)
    if not there.exists():
        return []
    file = there / "schema.json"
    stored = msgspec.json.decode(file.read_bytes()) if file.exists() else {}
    now = msgspec.json.decode(msgspec.json.encode(schema(MODULES[name])))
    without_example = {kind for kind in now if not (there / f"{kind}.json").exists()}
    return sorted({kind for kind in stored.keys() | now.keys() if stored.get(kind) != now.get(kind)} | without_example)


def advice(name: str) -> str:
    """What to do about `changed`, which is not empty; an empty text if it is."""
    if not (names := changed(name)):
        return ""
    return (
        f"{', '.join(names)}: not as in {folder(name)}. Raise VERSION in {MODULES[name].__file__}; or, if version "
        f"{VERSIONS[name]} is on no other branch yet, delete that folder. Then run python -m tests.support.wire"
    )


def main() -> None:
    """Writes the golden files of versions that have none. What is there stays; if it differs from the code, nothing is written."""
    if wrong := [text for text in map(advice, MODULES) if text]:
        sys.exit("\n".join(wrong))
    for name in MODULES:
        if folder(name).exists():
            continue
        folder(name).mkdir(parents=True)
        for file, data in files(name).items():
            (folder(name) / file).write_bytes(data)
            print(f"wrote {folder(name) / file}")


if __name__ == "__main__":
    main()
