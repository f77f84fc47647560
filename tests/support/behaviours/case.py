"""One behaviour of a task's code, and what becomes of its task."""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from shared.worker import App

F = TypeVar("F", bound=Callable[..., Any])


class Case(msgspec.Struct, frozen=True):
    """`name`: of the function, too.

    ends          `completed`, or the kind of its failure: `error`, `timeout`, `lost`
    text          pattern that the whole text of the failure matches
    value         of its only output, if it completes
    log           pattern that is found in its log
    progress      text of the last progress that it reported
    payload       JSON
    max_duration  seconds; 0: no limit
    fatal         it may end the worker's own process, or is not for one that runs tests: only for a worker that is started again
    """

    name: str
    ends: str = "completed"
    text: str = ""
    value: bytes = b"null"
    log: str = ""
    progress: str = ""
    payload: bytes = b"null"
    max_duration: float = 0
    fatal: bool = False


class Table:
    """The functions of one kind of code, and a row for each."""

    def __init__(self, *, blocking: bool) -> None:
        self.app, self.cases, self._blocking = App(), list[Case](), blocking

    def row(self, ends: str = "completed", text: str = "", **more: Any) -> Callable[[F], F]:
        """Registers a function and what becomes of a task of it."""

        def register(call: F) -> F:
            self.cases.append(Case(call.__name__, ends, text, **more))
            return self.app.function(blocking=self._blocking)(call)

        return register
