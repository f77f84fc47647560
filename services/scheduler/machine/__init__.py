"""The states of sessions, submissions, results and tasks, and what leads from one to another: a file for each.

SQL names them: `{task.completed}` is a state, `{task.open}` a set of states (shared/db/sql.py).
"""

from services.scheduler.machine.result import RESULT
from services.scheduler.machine.session import SESSION
from services.scheduler.machine.submission import SUBMISSION
from services.scheduler.machine.task import TASK

MACHINES = (SESSION, SUBMISSION, RESULT, TASK)

__all__ = ["MACHINES", "RESULT", "SESSION", "SUBMISSION", "TASK"]
