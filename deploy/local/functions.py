"""The functions that the workers of `make run` know."""

import asyncio
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shared.worker import App, Task

app = App()


@app.function
async def noop(task: Task) -> None:
    """Does nothing: what is left is what Headrace itself costs."""


@app.function
async def echo(task: Task) -> Any:
    """Gives back its payload."""
    return task.payload


@app.function
async def sleep(task: Task) -> None:
    """Waits for `payload` seconds, telling how far it is."""
    seconds = float(task.payload)
    for tenth in range(10):
        task.progress(tenth / 10, f"{seconds * tenth / 10:.1f} of {seconds:g} s")
        await asyncio.sleep(seconds / 10)


@app.function(blocking=True)
def image_statistics(task: Task) -> dict[str, Any]:
    """Every image in a FITS file: shape, and minimum, maximum, mean, median and standard deviation of its finite pixels.

    payload: {"name": …}; input 0: the file. A file that cannot be read gives an error record, so that a join still runs.
    """
    name = str(task.payload["name"])
    record: dict[str, Any] = {"name": name, "bytes": len(task.inputs[0]), "images": [], "error": ""}
    try:
        # By way of a file: astropy unpacks what is compressed only if it can look at the name.
        with tempfile.NamedTemporaryFile(suffix="".join(Path(name).suffixes)) as file:
            file.write(task.inputs[0])
            file.flush()
            record["images"] = list(_images(file.name))
    except Exception as error:
        record["error"] = f"{type(error).__name__}: {error}"
    return record


def _images(path: str) -> Iterator[dict[str, Any]]:
    import numpy as np
    from astropy.io import fits

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(path) as hdus:
            for number, hdu in enumerate(hdus):
                if not hdu.is_image or hdu.data is None:
                    continue
                pixels = np.asarray(hdu.data, dtype=float)
                image: dict[str, Any] = {"hdu": number, "shape": list(pixels.shape)}
                finite = pixels[np.isfinite(pixels)]
                if finite.size:
                    image |= {"min": float(finite.min()), "max": float(finite.max()), "mean": float(finite.mean())}
                    image |= {"median": float(np.median(finite)), "std": float(finite.std())}
                yield image


@app.function
async def join_statistics(task: Task) -> dict[str, Any]:
    """One table of all records; inputs: what `image_statistics` gave."""
    import msgspec

    records = [msgspec.json.decode(value) for value in task.inputs]
    return {
        "files": len(records),
        "bytes": sum(record["bytes"] for record in records),
        "images": [{"name": record["name"], **image} for record in records for image in record["images"]],
        "errors": [{"name": record["name"], "error": record["error"]} for record in records if record["error"]],
    }
