"""The Python worker: anything else that speaks `hr.task`, `hr.report` and `hr.beat` is one too (docs/worker-protocol.md).

from shared.worker import App, Task

app = App()

@app.function
async def greet(task: Task) -> str:            # runs in the worker's own loop
    return f"hello {task.payload['name']}"

@app.function(blocking=True)
def crunch(task: Task) -> bytes:               # runs in a child process that can be killed
    return heavy(task.inputs[0])

@app.function
async def total(task: Task) -> None:           # submits others, and leaves its own output to the last of them
    parts = [task.submit("part", {"from": n}) for n in range(0, 100, 10)]
    task.submit("sum", inputs=parts, outputs=task.expected)

What a task submits becomes real when it completes, and only then (`Task.submit`, `Task.create_result`).

What they print is their task's log (`headrace logs`), also while they run. What a coroutine function's own sub-processes
print goes to the worker's stderr: let those run in a blocking one.

python -m shared.worker --app mine:app --partition default --slots 4

A task that is cancelled, or takes longer than its max_duration, is stopped: a coroutine function gets CancelledError (one that goes
on for a second all the same is left where it waits, and never runs again), a blocking one is killed with the processes it has
started. Blocking functions do not see HEADRACE_ variables. What one leaves behind when it returns (processes, threads, another folder
or umask) is killed with its process; the next one gets a new process, which takes 0.2 s: make pools of threads or processes when the
module is loaded. Together its outputs have at most 256 MiB.
`--partition a,b` takes from both, the more urgent first. `--exec` runs users' commands too (docs/worker-protocol.md).
"""

from shared.worker.functions import App, Task
from shared.worker.subtasks import Subtask

__all__ = ["App", "Subtask", "Task"]
