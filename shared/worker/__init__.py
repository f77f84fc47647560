"""The Python worker: anything else that speaks `hr.task`, `hr.report` and `hr.beat` is one too (docs/worker-protocol.md).

from shared.worker import App, Task

app = App()

@app.function
async def greet(task: Task) -> str:            # runs in the worker's own loop
    return f"hello {task.payload['name']}"

@app.function(blocking=True)
def crunch(task: Task) -> bytes:               # runs in a child process that can be killed
    return heavy(task.inputs[0])

python -m shared.worker --app mine:app --partition default --slots 4
"""

from shared.worker.functions import App, Task

__all__ = ["App", "Task"]
