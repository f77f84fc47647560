"""The scheduler: sessions, results, tasks, partitions.

A task's way: `compute.submissions` writes its row; `dispatch.dispatcher` chooses it when it is ready and its turn has come;
`dispatch.queue` publishes it; a worker runs it; `compute.completion` takes the report, ends the task, counts down those that
waited for its results and lets them go. `dispatch.leases`, `dispatch.recovery` and `compute.sweep` are for when something of
that goes wrong.
"""

__version__ = "0.1.0"
