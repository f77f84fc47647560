"""What a worker can run: functions by name."""

import inspect
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar, overload
from uuid import UUID

import msgspec

from shared.contracts.compute import Application
from shared.contracts.ids import submission_id, uuid7
from shared.runtime.plain import plain
from shared.worker.error_text import TaskError
from shared.worker.json_values import decode_json, encode
from shared.worker.subtasks import Creations, Needed, Subtask

__all__ = ["App", "Function", "Task", "TaskError", "encode_outputs", "load"]

F = TypeVar("F", bound=Callable[..., Any])
PROGRESS_TEXT = 500
"""Characters of the text beside a task's progress."""


class Task:
    """What a function is given.

    id, attempt   which task this is, and which try
    payload       its payload, decoded from JSON
    inputs        the values of its inputs, in order; `input_ids`: the ids of these results
    outputs       how many values it must return: one is returned as it is, several as a sequence
    expected      the ids of the results that it must produce, in order
    application   the application that it belongs to (name, version, namespace, service); None if its options name none

    `submit` and `create_result` take effect only if the task completes, and then together with it. A result of `expected` that
    a subtask has among its `outputs` is delegated: the function returns values for the others only, in order, and what it
    returns does not matter if there are no others.
    """

    __slots__ = (
        "_progress",
        "_raw",
        "application",
        "attempt",
        "creations",
        "expected",
        "id",
        "input_ids",
        "inputs",
        "outputs",
    )

    def __init__(
        self,
        id: UUID,
        attempt: int,
        raw: bytes,
        inputs: Sequence[bytes],
        outputs: int,
        progress: Callable[[float, str], None],
        *,
        input_ids: Sequence[UUID] = (),
        expected: Sequence[UUID] = (),
        application: Application | None = None,
    ) -> None:
        self.id, self.attempt, self.inputs, self.outputs = id, attempt, inputs, outputs
        self.input_ids, self.expected = input_ids, expected
        self.creations: Creations | None = None
        self._raw, self._progress = raw, progress
        self.application = application

    @property
    def payload(self) -> Any:
        """The payload, decoded from JSON; ValidationError (msgspec) if it is no JSON."""
        return decode_json(self._raw)

    @property
    def raw_payload(self) -> bytes:
        """The payload as it was given: JSON text, or the bytes of the result that is the payload."""
        return self._raw

    def progress(self, fraction: float, message: str = "") -> None:
        """Publishes how far it is, 0 to 1, to those who watch. Control characters of the message are replaced by pictures."""
        if not isinstance(message, str):
            raise TypeError("the message of a progress is a str")
        # max(0.0, nan) is 0.0; and what is exactly a float and exactly a str can be encoded.
        self._progress(min(1.0, max(0.0, float(fraction))), plain(str.__str__(message)[:PROGRESS_TEXT]))

    def submit(
        self,
        function: str | None = None,
        payload: Any = None,
        *,
        inputs: Iterable[Needed] = (),
        outputs: int | Sequence[UUID] = 1,
        payload_result: Needed | None = None,
        **options: Any,
    ) -> Subtask:
        """Submits a task. It runs once this one has completed, which does not wait for it.

        function         None: the session's
        payload          anything that JSON can say, at most 16 KiB of it (ValueError with the place otherwise); or `payload_result`, a result whose value it is
        inputs           results that it needs: of `input_ids`, of `expected`, made by `create_result`, or outputs of subtasks
                         submitted before; of many, the list is kept as a result of its own (`TaskSpec.inputs_from`)
        outputs          how many results it produces; or ids: of `expected` (delegated to it), or made by `create_result`
        options          partition, priority, max_retries, max_duration, labels: as in `Options`; by default the session's

        What is wrong with it fails this task after its function has returned, with the number of the subtask.
        """
        return self._ensure_creations().submit(function, payload, inputs, outputs, payload_result, options)

    def create_result(self, value: Any = msgspec.UNSET, *, name: str = "") -> UUID:
        """Creates a result: with a value (bytes as they are, anything else as JSON), or to be produced by a subtask or uploaded
        by somebody later. Returns its id."""
        if not isinstance(name, str):
            raise TypeError("the name of a result is a str")
        id = uuid7()
        try:
            data = None if value is msgspec.UNSET else encode(value)
        except ValueError as error:
            raise ValueError(f"the value of the result {plain(name)!r} {error}") from None
        self._ensure_creations().results.append((id, plain(str.__str__(name)), data))
        return id

    @property
    def undelegated(self) -> list[UUID]:
        """Those of `expected` for which the function returns values."""
        return [name for name in self.expected if self.creations is None or name not in self.creations.delegated]

    def _ensure_creations(self) -> Creations:
        if self.creations is None:
            self.creations = Creations(submission_id())
        return self.creations


class Function(msgspec.Struct, frozen=True):
    """`blocking`: runs in a child process; otherwise `call` is a coroutine function for the worker's loop."""

    name: str
    call: Callable[[Task], Any] | Callable[[Task], Awaitable[Any]]
    blocking: bool


class App:
    """The functions of one worker."""

    def __init__(self) -> None:
        self.functions: dict[str, Function] = {}

    @overload
    def function(self, call: F) -> F: ...
    @overload
    def function(self, *, name: str = "", blocking: bool = False) -> Callable[[F], F]: ...
    def function(self, call: F | None = None, *, name: str = "", blocking: bool = False) -> Any:
        """Registers a function under its own name, or `name`. Coroutine functions, or blocking ones, which run in a child process."""

        def register(call: F) -> F:
            own = name or call.__name__
            if inspect.iscoroutinefunction(call) == blocking:
                kind = (
                    "a blocking function cannot be a coroutine" if blocking else "write async def, or say blocking=True"
                )
                raise TypeError(f"{own}: {kind}")
            if own in self.functions:
                raise ValueError(f"{own}: registered twice")
            self.functions[own] = Function(own, call, blocking)
            return call

        return register if call is None else register(call)


def encode_outputs(value: Any, count: int, function: str = "the function", most: float = math.inf) -> list[bytes]:
    """What a function returned, as its outputs' bytes: bytes as they are, anything else as JSON.

    TaskError where that cannot be, with the place: `f: return value $.a[3]: nan is no number in JSON`. Long if more than `most`
    items of a value have to be looked at to know.
    """
    if count == 0:
        return []
    encoded: list[bytes] = []
    try:
        if count == 1:
            return [encode(value, most)]
        if isinstance(value, (list, tuple)) and len(value) == count:
            for one in value:
                encoded.append(encode(one, most))  # noqa: PERF401 (its length says where it has failed)
            return encoded
    except ValueError as error:
        raise TaskError(f"{function}: return value {f'[{len(encoded)}] ' if count > 1 else ''}{error}") from None
    raise TaskError(f"the task has {count} outputs: its function must return so many values")


def load(path: str) -> App:
    """The App that `module:name` names."""
    import importlib

    module, _, name = path.partition(":")
    found = getattr(importlib.import_module(module), name or "app", None)
    if not isinstance(found, App):
        raise SystemExit(f"--app {path}: there is no App of that name")
    return found
