"""The contact sheet: a picture of every image, as PNG."""

import io
from collections.abc import Iterable
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from deploy.demo.astronomy.records import Record
from deploy.demo.astronomy.tile import draw, is_shown

COLUMNS, ROWS = 7, 60
"""Tiles beside each other, and at most above each other: a PNG of 60 rows has about 15,000 pixels in height."""
WIDTH, HEIGHT, HEAD = 1.62, 1.92, 0.85
"""Width and height of a tile, and height of the title, in inches; the axes below are in inches too, downwards."""
MARGIN = 0.3
DPI = 130
BACKGROUND, TEXT, FAINT = "#0e1116", "#e6eaf0", "#8c97a8"


def sheet(records: Iterable[Record]) -> bytes:
    """A PNG with a tile for each file that has an image of two dimensions, or an error; in the order of paths."""
    files = sorted(records, key=lambda record: record.name)
    tiles = [file for file in files if is_shown(file)]
    shown = tiles[: COLUMNS * ROWS]
    rows = max(1, -(-len(shown) // COLUMNS))
    # What a matplotlibrc says here or there must not change the picture.
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        figure, axes = _canvas(2 * MARGIN + COLUMNS * WIDTH, 2 * MARGIN + HEAD + rows * HEIGHT)
        _title(axes, files, len(tiles), len(shown))
        for n, file in enumerate(shown):
            row, column = divmod(n, COLUMNS)
            draw(axes, file, MARGIN + column * WIDTH, MARGIN + HEAD + row * HEIGHT, WIDTH)
        png = io.BytesIO()
        FigureCanvasAgg(figure).print_png(png, metadata={"Software": None})
    return png.getvalue()


def _canvas(width: float, height: float) -> tuple[Any, Any]:
    """A figure of that size in inches, and axes that fill it, in inches from the upper left corner."""
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor=BACKGROUND)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_autoscale_on(False)
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    return figure, axes


def _title(axes: Any, files: list[Record], tiles: int, shown: int) -> None:
    failed = sum(bool(file.error) for file in files)
    pictured = sum(file.thumbnail is not None for file in files)
    parts = [f"{len(files)} files", f"{pictured} with images", f"{failed} unreadable"]
    parts += [f"the first {shown} are shown"] if shown < tiles else []
    x, y = MARGIN + 0.06, MARGIN + 0.12
    axes.text(x, y, "Contact sheet", color=TEXT, fontsize=17, fontweight="bold", va="top")
    axes.text(x, y + 0.37, "  ·  ".join(parts), color=FAINT, fontsize=9, va="top")
    legend = (
        "the first image of each file, asinh stretch, first row at the bottom  ·  blue: no value  ·  ○ brightest source"
    )
    axes.text(MARGIN + COLUMNS * WIDTH - 0.06, y + 0.37, legend, color=FAINT, fontsize=9, va="top", ha="right")
