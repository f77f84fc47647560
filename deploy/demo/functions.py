"""The functions that the workers of `make run` know: those of every stack, and those of the main job.

They import what they need when they are called: a worker without the extra `demo` still runs the others.
"""

from typing import Any

import msgspec

from deploy.local.functions import app
from shared.worker import Task

__all__ = ["app"]


@app.function(blocking=True)
def measure(task: Task) -> Any:
    """What is in a FITS file: its HDUs, the statistics and sources of its images, a thumbnail.

    payload: {"name": the file's path in the dataset}; input 0: the file. Output: a record (astronomy/records.py) as JSON.
    A file that cannot be read gives a record that says why, so that the catalogue is still made.
    """
    from deploy.demo.astronomy.measure import measure

    return measure(str(task.payload["name"]), task.inputs[0])


@app.function(blocking=True)
def catalogue(task: Task) -> tuple[bytes, bytes]:
    """One catalogue of all files. Inputs: what `measure` gave, in any order. Outputs: a table (ECSV), a contact sheet (PNG)."""
    from deploy.demo.astronomy.catalogue import catalogue
    from deploy.demo.astronomy.records import Record
    from deploy.demo.astronomy.sheet import sheet

    records = [msgspec.json.decode(value, type=Record) for value in task.inputs]
    table = catalogue(records)
    print(f"{len(records)} files, {len(table):,} bytes of catalogue")
    task.progress(0.5, "contact sheet")
    return table, sheet(records)
