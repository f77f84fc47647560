"""What a task's code creates while it runs. Without I/O, and light to import: every child process does."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import msgspec

from shared.contracts import ids
from shared.contracts.compute import Options, TaskSpec
from shared.runtime.plain import plain
from shared.worker.json_values import encode_json

DIRECT = 5_000
"""Inputs of a subtask that its own line names; more are kept as the value of a result that the line names."""


class Subtask(msgspec.Struct, frozen=True):
    """A task that was submitted: its id, and the ids of the results that it will produce."""

    id: UUID
    outputs: list[UUID]

    @property
    def output(self) -> UUID:
        """Its only output."""
        if len(self.outputs) != 1:
            raise ValueError(f"the subtask has {len(self.outputs)} outputs: say which")
        return self.outputs[0]


Needed = UUID | Subtask
"""A result that a subtask needs: by its id, or as the only output of another subtask."""


class Creations(msgspec.Struct):
    """What the code of a task has created in one run.

    tasks       TaskSpecs as JSON
    results     id, name, and the value unless it comes later
    delegated   ids that subtasks have as outputs: no value of the task's own is expected for these
    """

    submission: UUID
    tasks: list[bytes] = []
    results: list[tuple[UUID, str, bytes | None]] = []
    delegated: set[UUID] = set()

    def submit(
        self,
        function: str | None,
        payload: Any,
        inputs: Iterable[Needed],
        outputs: int | Sequence[UUID],
        payload_result: Needed | None,
        options: dict[str, Any],
    ) -> Subtask:
        """Adds a subtask, as `Task.submit` does; returns it with its ids."""
        line, named, listed = len(self.tasks), [_name(one) for one in inputs], None
        try:
            data = encode_json(payload)
        except ValueError as error:
            raise ValueError(f"subtasks[{line}].payload {error}") from None
        if len(named) > DIRECT:  # they would have no room in a message
            listed = ids.uuid7()
            self.results.append((listed, f"inputs of subtask {line}", msgspec.json.encode(named)))
        spec = TaskSpec(
            msgspec.Raw(data),
            None if payload_result is None else _name(payload_result),
            named if listed is None else [],
            outputs if isinstance(outputs, int) else list(outputs),
            Options(function=_plain(function), **{name: _plain(value) for name, value in options.items()}),
            listed,
        )
        self.tasks.append(msgspec.json.encode(spec))
        if isinstance(outputs, int):
            made = [ids.result_id(self.submission, line, k) for k in range(outputs)]
        else:
            made = list(outputs)
            self.delegated.update(made)
        return Subtask(ids.task_id(self.submission, line), made)


def _plain(value: Any) -> Any:
    """An option; its texts can be shown anywhere."""
    if isinstance(value, str):
        return plain(str.__str__(value))
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _name(needed: Needed) -> str:
    return str(needed.output if isinstance(needed, Subtask) else needed)
