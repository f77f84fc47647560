"""What the catalogue of the main job must say, computed another way: plainly, with astropy and loops over pixels.

Nothing of `deploy.demo.astronomy` is used here.
"""

import math
import warnings
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

VALUES = ("finite", "min", "max", "mean", "median", "std", "sources", "x", "y", "flux")


def wheel() -> Path:
    """The folder of the installed astropy; a file's path in the dataset is relative to it."""
    found = find_spec("astropy")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent


def reference_rows(files: Sequence[Path], root: Path | None = None) -> list[dict[str, Any]]:
    """A row per HDU, in the order of paths below `root` (the wheel's folder unless said) and numbers; None: no value.

    Keys: file, hdu, name, kind, shape, and VALUES. Unreadable files have no rows.
    """
    root = root or wheel()
    named = sorted((file.relative_to(root).as_posix(), file) for file in files)
    return [{"file": name, **row} for name, file in named for row in _rows(file)]


def unreadable(files: Sequence[Path], root: Path | None = None) -> list[str]:
    """Paths below `root` of the files that astropy cannot open, in order."""
    root = root or wheel()
    return sorted(file.relative_to(root).as_posix() for file in files if not _opens(file))


def _opens(file: Path) -> bool:
    try:
        return bool(list(_rows(file)))
    except Exception:
        return False


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            hdus = fits.open(file)
        except (OSError, ModuleNotFoundError):
            return
        with hdus:
            for number, hdu in enumerate(hdus):
                row = {"hdu": number, "name": hdu.name or None, "kind": hdu.__class__.__name__, "shape": None}
                yield row | dict.fromkeys(VALUES) | _data(hdu)


def _data(hdu: Any) -> dict[str, Any]:
    if isinstance(hdu, (fits.BinTableHDU, fits.TableHDU)):
        return {"shape": f"{hdu.header['NAXIS2']}x{hdu.header['TFIELDS']}"}
    if isinstance(hdu, fits.GroupsHDU):
        return {"shape": f"{hdu.header['GCOUNT']}x{hdu.header['PCOUNT'] + 1}"} if hdu.data is not None else {}
    if not isinstance(hdu, (fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU)) or hdu.data is None:
        return {}
    image = hdu.data.astype("f8")
    while image.ndim > 2 and image.shape[0] == 1:
        image = image[0]
    shape = "x".join(str(n) for n in hdu.data.shape)
    return {"shape": shape} | _pixels(image) | (_sources(image) if image.ndim == 2 else {})


def _pixels(image: Any) -> dict[str, Any]:
    values = sorted(value for value in image.flat if math.isfinite(value))
    if not values:
        return {"finite": 0}
    mean = math.fsum(values) / len(values)
    std = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))
    median = (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2
    return {"finite": len(values), "min": values[0], "max": values[-1], "mean": mean, "median": median, "std": std}


def _sources(image: Any) -> dict[str, Any]:
    of = _pixels(image)
    if not of["finite"]:
        return {"sources": 0}
    bright = np.isfinite(image) & (image > of["median"] + 5 * of["std"])
    groups = [group for group in flood(bright) if len(group) >= 5]
    found = [{(y, x): float(image[y, x]) - of["median"] for y, x in group} for group in groups]
    if not found:
        return {"sources": 0}
    best = max(found, key=lambda group: math.fsum(group.values()))
    flux = math.fsum(best.values())
    x = math.fsum(x * weight for (_, x), weight in best.items()) / flux
    y = math.fsum(y * weight for (y, _), weight in best.items()) / flux
    return {"sources": len(found), "x": x, "y": y, "flux": flux}


def flood(mask: Any) -> list[list[tuple[int, int]]]:
    """The 4-connected groups of a mask, each a list of (y, x), in the order of their first pixels row by row."""
    left = {(int(y), int(x)): None for y, x in zip(*np.nonzero(mask), strict=True)}
    groups = []
    while left:
        group = [next(iter(left))]
        del left[group[0]]
        for y, x in group:  # grows while it is gone through
            for beside in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if beside in left:
                    del left[beside]
                    group.append(beside)
        groups.append(group)
    return groups
