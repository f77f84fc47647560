"""The scheduler: sessions, results, tasks, partitions.

A task's way: `handlers/submissions` writes its row; `turns` chooses it when it is ready and its turn has come; `queue`
publishes it; a worker runs it; `release` takes the report, ends the task, counts down those that waited for its results
and lets them go. `leases`, `recovery` and `sweep` are for when something of that goes wrong.
"""

__version__ = "0.1.0"
