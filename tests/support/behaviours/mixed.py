"""The functions of a worker that runs all behaviours, each under the name of its kind (`coroutine.exits`), and healthy ones.

Commands are run by the function `exec`, which the worker has by itself.
"""

import asyncio

import msgspec

from shared.contracts.work import EXEC
from shared.worker import App, Task
from tests.support.behaviours import blocking, commands, coroutine
from tests.support.behaviours.case import Table

TABLES: dict[str, Table] = {"coroutine": coroutine.table, "blocking": blocking.table}
CASES = [(f"{kind}.{case.name}", case) for kind, table in TABLES.items() for case in table.cases]
CASES += [(EXEC, case) for case in commands.CASES]
"""The function of each, and its row."""
app = App()
PATH = f"{__name__}:app"

for kind, table in TABLES.items():
    for function in table.app.functions.values():
        named = msgspec.structs.replace(function, name=f"{kind}.{function.name}")
        app.functions[named.name] = named


@app.function(blocking=True)
def cube(task: Task) -> int:
    """Prints a number, and returns its third power."""
    print(task.payload)
    return int(task.payload) ** 3


@app.function
async def square(task: Task) -> int:
    """Prints a number, waits for a moment, and returns its square."""
    print(task.payload)
    await asyncio.sleep(task.payload % 7 / 1000)
    return int(task.payload) ** 2
