"""The functions of a worker that runs all behaviours, each under the name of its kind (`coroutine.exits`), and healthy ones."""

import asyncio

import msgspec

from shared.worker import App, Task
from tests.behaviours import coroutine
from tests.behaviours.case import Table

TABLES: dict[str, Table] = {"coroutine": coroutine.table}
app = App()
PATH = f"{__name__}:app"

for kind, table in TABLES.items():
    for function in table.app.functions.values():
        named = msgspec.structs.replace(function, name=f"{kind}.{function.name}")
        app.functions[named.name] = named


@app.function
async def square(task: Task) -> int:
    """Prints a number, waits for a moment, and returns its square."""
    print(task.payload)
    await asyncio.sleep(task.payload % 7 / 1000)
    return int(task.payload) ** 2
