"""Tables that fit the terminal: no value is ever cut.

Columns stand side by side as long as there is room, texts for people wrapped at their words; what has no room stands below its
row, each value after its column's name.
"""

import textwrap
from collections.abc import Sequence
from itertools import zip_longest

from rich.cells import cell_len
from rich.text import Text

PROSE = frozenset(
    {"error", "reason", "reasons", "notes", "checks", "consumer: pending / unacknowledged", "name", "subject"}
)
"""Columns of texts for people, which may be wrapped."""
_NARROW = 24
"""A wrapped column is no narrower, unless its values are."""
_INDENT = "    "


def layout(heads: Sequence[str], rows: Sequence[Sequence[Text]], width: int) -> tuple[dict[int, int], str]:
    """Which columns stand side by side, each with its width, and what stands between them.

    `rows`: cells, each on one line. `width`: columns of the terminal.
    """
    full = [max([cell_len(head), *(row[n].cell_len for row in rows)]) for n, head in enumerate(heads)]
    least = [_least(head, [row[n] for row in rows], full[n]) for n, head in enumerate(heads)]
    gaps = len(heads) - 1
    gap = 1 if sum(least) + gaps <= width < sum(least) + 2 * gaps else 2
    chosen: dict[int, int] = {}
    left = width + gap
    for n in range(len(heads)):
        if not chosen or least[n] + gap <= left:
            chosen[n] = least[n]
            left -= least[n] + gap
    for n in chosen:
        more = max(0, min(left, full[n] - chosen[n]))
        chosen[n] += more
        left -= more
    return chosen, " " * gap


def _least(head: str, cells: Sequence[Text], full: int) -> int:
    """The least width of a column: its words are not broken."""
    if head not in PROSE:
        return full
    words = (cell_len(word) for text in (head, *(cell.plain for cell in cells)) for word in text.split())
    return min(full, max([_NARROW, *words]))


def lines(heads: Sequence[str], rows: Sequence[Sequence[Text]], width: int) -> list[Text]:
    """The table, line by line, its heads first."""
    chosen, gap = layout(heads, rows, width)
    found = [_line([Text(heads[n], style="bold") for n in chosen], [*chosen.values()], gap)]
    widths = list(chosen.values())
    for row in rows:
        columns = [_wrapped(row[n], room) for n, room in chosen.items()]
        found += [_line(cells, widths, gap) for cells in zip_longest(*columns, fillvalue=Text())]
        below = [(heads[n], cell) for n, cell in enumerate(row) if n not in chosen and cell.plain]
        found += _below(below, width)
    return found


def _line(cells: Sequence[Text], widths: Sequence[int], gap: str) -> Text:
    made = Text(gap).join(
        Text.assemble(cell, " " * (room - cell.cell_len)) for cell, room in zip(cells, widths, strict=True)
    )
    made.rstrip()
    return made


def _wrapped(cell: Text, room: int) -> list[Text]:
    if cell.cell_len <= room:
        return [cell]
    return [Text(line, style=cell.style) for line in _wrap(cell.plain, room)]


def _wrap(text: str, room: int) -> list[str]:
    return textwrap.wrap(text, max(1, room), break_long_words=False, break_on_hyphens=False) or [""]


def _below(cells: Sequence[tuple[str, Text]], width: int) -> list[Text]:
    """Each value after its name; as many on a line as it has room for."""
    found: list[Text] = []
    room = width - len(_INDENT)
    for head, cell in cells:
        piece = Text.assemble((f"{head}: ", "dim"), cell)
        if found and found[-1].cell_len + 2 + piece.cell_len <= width:
            found[-1] = Text.assemble(found[-1], "  ", piece)
        elif piece.cell_len <= room:
            found.append(Text.assemble(_INDENT, piece))
        else:
            found += [Text(_INDENT + line, style=cell.style) for line in _wrap(piece.plain, room)]
    return found
