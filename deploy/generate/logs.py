"""docs/log-events.md: every log key. Level, place and fields come from the code; the meaning is kept from the file itself.

So who adds a log line runs `python -m deploy.generate`, then says in the new row what it means.
"""

import ast
from collections.abc import Iterator
from typing import Final

import msgspec

from deploy.generate import ROOT, Missing
from deploy.generate.markdown import cells, table

PATH: Final = "docs/log-events.md"
LEVELS: Final = ("debug", "info", "warning", "error", "exception", "critical")
_FOLDERS = ("services", "shared", "deploy")
_NOT_FIELDS = frozenset({"exc_info", "stack_info"})
_HEAD = """# Log events

One JSON object a line on stderr (`HEADRACE_LOG_FORMAT=console` for people). Every line has `event` (the key below),
X are the same from the HTTP request on. Tokens, passwords and signatures of presigned URLs are cut out. `debug` is
not shown unless `HEADRACE_LOG_LEVEL=debug`.

The table is made by `python -m deploy.generate`, all but the last column: that one is written here, and kept.
`make check` fails if a key is missing or has no meaning. "all" are the five services and the workers.

"""


class Line(msgspec.Struct, frozen=True):
    """One place that logs."""

    key: str
    level: str
    who: str
    fields: tuple[str, ...]


def files() -> dict[str, str]:
    """docs/log-events.md."""
    return {PATH: _HEAD + "\n".join(table(("key", "level", "who", "context", "meaning"), _rows())) + "\n"}


def explained() -> None:
    """Every key has a meaning; Missing otherwise."""
    if bare := sorted(key for key, meaning in _meanings().items() if not meaning):
        raise Missing(f"{PATH}: say in the last column what these mean: {', '.join(bare)}")


def _rows() -> Iterator[tuple[str, ...]]:
    meanings = _meanings()
    found: dict[str, list[Line]] = {}
    for line in lines():
        found.setdefault(line.key, []).append(line)
    for key, places in sorted(found.items()):
        levels = {level for place in places for level in place.level.split(", ")}
        fields = list(dict.fromkeys(field for place in places for field in place.fields))
        yield (
            f"`{key}`",
            ", ".join(sorted(levels, key=LEVELS.index)),
            ", ".join(sorted({place.who for place in places})),
            " ".join(f"`{field}`" for field in fields),
            meanings.get(key, ""),
        )


def _meanings() -> dict[str, str]:
    file = ROOT / PATH
    rows = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    parsed = [cells(row) for row in rows if row.startswith("| `")]
    return {row[0].strip("`"): row[-1] for row in parsed}


def lines() -> Iterator[Line]:
    """Every call of the log in the code."""
    for folder in _FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield from read(path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix())


def read(source: str, where: str) -> Iterator[Line]:
    """The log calls of one file. `where`: its path from the root."""
    for scope in _scopes(ast.parse(source, where)):
        yield from _calls(scope, where)


def _scopes(tree: ast.Module) -> Iterator[ast.AST]:
    yield tree
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _own(scope: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a scope without those of functions in it."""
    for node in ast.iter_child_nodes(scope):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
            yield from _own(node)


def _calls(scope: ast.AST, where: str) -> Iterator[Line]:
    nodes = list(_own(scope))
    # `write = log.warning if … else log.info`: the name stands for both.
    aliases = {
        node.targets[0].id: levels
        for node in nodes
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and (levels := _levels(node.value))
    }
    for node in nodes:
        if not isinstance(node, ast.Call):
            continue
        levels = _levels(node.func)
        if isinstance(node.func, ast.Name):
            levels = aliases.get(node.func.id, [])
        if levels:
            yield Line(_key(node, where), ", ".join(levels), _who(where), _fields(node))


def _levels(value: ast.AST) -> list[str]:
    """The levels of `log.info` and the like; those of a choice between them."""
    if isinstance(value, ast.IfExp):
        return _levels(value.body) + _levels(value.orelse)
    if isinstance(value, ast.Attribute) and isinstance(value.value, ast.Name) and value.value.id == "log":
        return [value.attr] if value.attr in LEVELS else []
    return []


def _key(call: ast.Call, where: str) -> str:
    first = call.args[0] if call.args else None
    if isinstance(first, ast.Constant) and isinstance(first.value, str):
        return first.value
    raise Missing(f"{where}:{call.lineno}: the key of a log line is a text as it stands")


def _fields(call: ast.Call) -> tuple[str, ...]:
    return tuple(word.arg for word in call.keywords if word.arg and word.arg not in _NOT_FIELDS)


def _who(where: str) -> str:
    first, second, *_ = where.split("/")
    if first == "services":
        return second
    if first == "deploy":
        return "supervisor"
    return {"worker": "worker", "chain": "services with chains"}.get(second, "all")
