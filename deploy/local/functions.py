"""The functions that the workers of `make run` know."""

import asyncio
import io
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
    import warnings

    import numpy as np
    from astropy.io import fits

    record: dict[str, Any] = {"name": task.payload["name"], "bytes": len(task.inputs[0]), "images": [], "error": ""}
    try:
        with warnings.catch_warnings(), fits.open(io.BytesIO(task.inputs[0])) as hdus:
            warnings.simplefilter("ignore")
            for number, hdu in enumerate(hdus):
                if not getattr(hdu, "is_image", False) or hdu.data is None:
                    continue
                pixels = np.asarray(hdu.data, dtype=float)
                finite = pixels[np.isfinite(pixels)]
                statistics = {}
                if finite.size:
                    kinds = {"min": np.min, "max": np.max, "mean": np.mean, "median": np.median, "std": np.std}
                    statistics = {name: float(call(finite)) for name, call in kinds.items()}
                record["images"].append({"hdu": number, "shape": list(pixels.shape), **statistics})
    except Exception as error:
        record["error"] = f"{type(error).__name__}: {error}"
    return record


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
