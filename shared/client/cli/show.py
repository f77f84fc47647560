"""What the commands print: tables for people, JSON for machines. Texts of users are never read as markup."""

import json
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from shared.client.cli.tables import lines
from shared.runtime.plain import plain

_TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
WIDE = 200
"""Columns where there is no terminal to ask."""
BAD = frozenset({"error", "timeout", "aborted", "cancelled", "failed"})
GOOD = frozenset({"ok", "completed", "running", "visible"})


def console() -> Console:
    """A console for plain output: nothing coloured by its content, lines never wrapped."""
    return Console(highlight=False, soft_wrap=True)


def _page() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)


def document(value: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")


def line(value: Any) -> None:
    """One JSON document of many, at once."""
    document(value)
    sys.stdout.flush()


def text(value: str) -> None:
    """Lines as they are, at once; what could move the cursor or colour the terminal is shown as a picture of itself."""
    sys.stdout.write(plain(value))
    sys.stdout.flush()


def table(title: str, heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table as wide as the terminal, or a word that there is nothing."""
    cells = [[cell(value) for value in row] for row in rows]
    if not cells:
        console().print(Text(f"{title}: none"))
        return
    out = console()
    out.print(Text(title, style="italic"))
    for row in lines(heads, cells, _page().width):
        out.print(row)


def facts(pairs: Iterable[tuple[str, Any]]) -> None:
    """Names and values, one a line."""
    made = Table.grid(padding=(0, 2))
    for name, value in pairs:
        if value not in (None, "", []):
            made.add_row(Text(name, style="bold"), cell(value))
    _page().print(made)


def summary(sentence: str, reasons: Iterable[str], since: str | None = None) -> None:
    """Why a thing is where it is: a sentence, and what it follows from."""
    out = console()
    out.print(cell(sentence), style="bold")
    for reason in ([f"since {when(since)}"] if since else []) + list(reasons):
        out.print(cell(f"  - {reason}"))


def _nested(value: Any) -> Any:
    """What a field of a field has: names with their values, in brackets."""
    return f"({', '.join(f'{name} {inner}' for name, inner in value.items())})" if isinstance(value, dict) else value


def entity(thing: dict[str, Any]) -> None:
    """One thing with its fields; what is nested is one line."""
    pairs = []
    for name, value in thing.items():
        if isinstance(value, dict):
            value = ", ".join(
                f"{inner} {_nested(count)}" for inner, count in value.items() if count not in (None, 0, {})
            )
        pairs.append((name, value))
    facts(pairs)


def cell(value: Any) -> Text:
    """A value as the text of a table's cell; characters that cannot be printed are blanks."""
    text = ", ".join(str(one) for one in value) if isinstance(value, list) else "" if value is None else str(value)
    style = "red" if text in BAD else "green" if text in GOOD else ""
    return Text("".join(c if c.isprintable() else " " for c in text), style=style)


def when(value: Any) -> Any:
    """Times to the second; anything else as it is."""
    return value[:19].replace("T", " ") if isinstance(value, str) and _TIME.match(value) else value


def more(page: dict[str, Any]) -> None:
    """How to see the next page."""
    if page.get("next"):
        Console(stderr=True, highlight=False, soft_wrap=True).print(Text(f"more: --token {page['next']}", style="dim"))


def size(count: int) -> str:
    """Bytes, for people."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"
