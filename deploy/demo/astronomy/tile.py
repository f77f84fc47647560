"""One file of the contact sheet: its picture or an empty frame, and its name below."""

import textwrap
from pathlib import PurePosixPath
from typing import Any

import matplotlib
import numpy as np
from matplotlib.patches import Circle, Rectangle

from deploy.demo.astronomy.records import HDU, Record, Thumbnail

PADDING = 0.06
"""Around a tile, in inches."""
LONGEST = 28
"""Characters that fit below a picture in this fixed-width font."""
FRAME, EDGE, NO_VALUE = "#161b23", "#2a323e", "#24364f"
TEXT, FAINT, ERROR, MARK = "#e6eaf0", "#8c97a8", "#f08a6c", "#ffb454"
FONT = {"family": "DejaVu Sans Mono", "parse_math": False, "va": "top", "ha": "center"}


def is_shown(file: Record) -> bool:
    """Whether it has a tile; one of tables only has none."""
    return file.thumbnail is not None or bool(_problem(file))


def draw(axes: Any, file: Record, left: float, top: float, width: float) -> None:
    """Draws it into axes whose unit is the inch, downwards; a tile is a square of that width and two lines below."""
    side = width - 2 * PADDING
    left, top = left + PADDING, top + PADDING
    problem = _problem(file)
    empty = file.thumbnail is None
    edge = ERROR if empty else EDGE
    # Below the pictures, which are below all patches by default.
    axes.add_patch(Rectangle((left, top), side, side, facecolor=FRAME, edgecolor=edge, linewidth=0.8, zorder=-1))
    middle = left + side / 2
    if file.thumbnail is not None:
        _picture(axes, file.thumbnail, file.hdus, left, top, side)
        hdu = _of(file.hdus, file.thumbnail.hdu)
        below = f"[{hdu.number}] {'×'.join(map(str, hdu.shape))}"
        below += f", {_sources(hdu)}" if hdu.sources and hdu.sources.count else ""
    else:
        axes.text(middle, top + side / 2, _wrapped(problem), color=ERROR, fontsize=5.6, **FONT | {"va": "center"})
        below = "unreadable"
    name = shortened(PurePosixPath(file.name).name)
    axes.text(middle, top + side + 0.05, name, color=ERROR if problem else TEXT, fontsize=6.4, **FONT)
    axes.text(middle, top + side + 0.17, shortened(below), color=FAINT, fontsize=5.8, **FONT)


def _picture(axes: Any, small: Thumbnail, hdus: list[HDU], left: float, top: float, side: float) -> None:
    """In the middle of the square, as large as fits, its first row at the bottom."""
    grey = np.frombuffer(small.pixels, dtype=np.uint8).reshape(small.height, small.width)
    colours = matplotlib.colormaps["gray"].with_extremes(under=NO_VALUE)
    scale = side / max(small.height, small.width)
    x0 = left + (side - small.width * scale) / 2
    y0 = top + (side + small.height * scale) / 2
    extent = (x0, x0 + small.width * scale, y0, y0 - small.height * scale)
    axes.imshow(grey, colours, origin="lower", extent=extent, vmin=1, vmax=255, interpolation="nearest", aspect="auto")
    found = _of(hdus, small.hdu).sources
    if found and found.brightest:
        # The centre of pixel 0 is half a pixel from the edge, in the image as in its thumbnail.
        x, y = (found.brightest.x + 0.5) / small.step, (found.brightest.y + 0.5) / small.step
        axes.add_patch(Circle((x0 + x * scale, y0 - y * scale), 0.07, fill=False, edgecolor=MARK, linewidth=0.9))


def _of(hdus: list[HDU], number: int) -> HDU:
    return next(hdu for hdu in hdus if hdu.number == number)


def _problem(file: Record) -> str:
    """The file's error, or its first HDU's that has one."""
    return file.error or next((f"HDU {hdu.number}: {hdu.error}" for hdu in file.hdus if hdu.error), "")


def _sources(hdu: HDU) -> str:
    count = hdu.sources.count if hdu.sources else 0
    return f"{count} source" if count == 1 else f"{count} sources"


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, LONGEST - 2, max_lines=7, placeholder=" …"))


def shortened(text: str) -> str:
    """At most LONGEST characters of it, without its middle: the beginning and the end say most."""
    text = " ".join(text.split())
    half = (LONGEST - 1) // 2
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1 - half]}…{text[-half:]}"
