"""The lines of a chunk as rows, without writing them."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import NamedTuple, cast
from uuid import UUID

import msgspec
from asyncpg.pgproto.pgproto import UUID as Id  # one of uuid's, made and written to the wire four times as fast

from services.scheduler.compute.submissions.options import Defaults, inherit
from shared.contracts import ids
from shared.contracts.compute import MAX_INPUTS, TaskSpec
from shared.contracts.errors import Conflict, HeadraceError, Invalid, NotFound
from shared.contracts.states import ResultStatus, TaskStatus
from shared.contracts.topology import INLINE_LIMIT

TASK_COLUMNS = (
    "id", "session", "remaining", "deps", "status", "attempt", "partition", "priority", "max_retries", "max_duration",
    "function", "payload", "payload_result", "inputs", "outputs", "labels", "application", "parent",
)  # fmt: skip
RESULT_COLUMNS = ("id", "session", "standalone", "status", "owner", "created_at")
EDGE_COLUMNS = ("result", "task")
LISTED = 200_000
"""Inputs that lists may give to the tasks of one message, together: a short line may name a long list."""

Lists = Mapping[UUID, list[str] | HeadraceError]
"""What the results named by `inputs_from` hold, or what is wrong with one."""


class Marks(NamedTuple):
    """What the last chunk of a submission has to know of all.

    Written to each chunk's row: the submission's is held by all chunks under way, and none could get it for itself.

    cross_chunk    a task needs a result of an earlier chunk
    outside        a task waits for a result of somebody else
    claims         a task produces a result that existed before
    applications   a task names an application
    """

    cross_chunk: bool
    outside: bool
    claims: bool
    applications: bool


class Plan:
    """The rows of one chunk. Fill it with `add`, look up `outside`, then `link` and copy the lists.

    `first`: the line of the submission that its first task is. `partitions`: those of the session, with their numbers.
    `parent`: the task that submits it. `lists`: what the lists of inputs hold that its lines name.
    """

    def __init__(
        self,
        submission: UUID,
        session: UUID,
        first: int,
        defaults: Defaults,
        partitions: Mapping[str, int],
        parent: UUID | None = None,
        lists: Lists | None = None,
    ) -> None:
        self.submission, self.session, self.first, self.parent = submission, Id(session.bytes), first, parent
        self._defaults, self._partitions, self._lists = defaults, partitions, lists or {}
        self._listed = 0
        self.tasks: list[tuple[object, ...]] = []
        self.outputs: list[tuple[UUID, UUID]] = []
        """Results to create, each with its task."""
        self.edges: list[tuple[UUID, UUID]] = []
        self.claims: dict[UUID, UUID] = {}
        """Results that existed before, each with the task that will produce it."""
        self.outside: dict[UUID, str] = {}
        """Results of others that are waited for, each with the field that named it first."""
        self.cross_chunk = False
        self.applications = False
        self.lanes: dict[tuple[int, int], int] = {}
        self._counts: list[int] = []
        self._waits: dict[int, list[UUID]] = {}
        self._base = submission.int

    def add(self, spec: TaskSpec) -> None:
        """One more line. Invalid names it as `tasks[<n>]`, n counted within the chunk."""
        n = len(self.tasks)
        line = self.first + n
        options = self._defaults if spec.options is None else inherit(self._defaults, spec.options)
        partition = self._partitions.get(options.partition)
        if partition is None:
            known = ", ".join(sorted(self._partitions)) or "none"
            raise Invalid(
                f"the session has no partition {options.partition!r}; it has: {known}",
                field=_at(n, "options.partition"),
            )
        function, application = spec.function or options.function, options.application
        if application is not None:
            self.applications = True
            function = function or application.name
        if not function:
            raise Invalid(
                "no function: name one, or an application, here, for the submission or for the session",
                field=_at(n, "options.function"),
            )
        payload = bytes(spec.payload)
        if len(payload) > INLINE_LIMIT:
            raise Invalid(
                f"a payload may have {INLINE_LIMIT} bytes; give it as a result and name it in payload_result",
                field=_at(n, "payload"),
            )
        task = _id(self._base | line)
        if spec.outputs == 1:
            outputs = [_id(self._base | 1 << 32 | line << 8)]
            self.outputs.append((outputs[0], task))
            self._counts.append(1)
        else:
            outputs = self._other_outputs(n, line, task, spec.outputs)
        waits: list[UUID] = []
        inputs: list[UUID] | None = None
        payload_result: UUID | None = None
        if spec.inputs:
            inputs = [self._resolve(n, f"inputs[{i}]", text) for i, text in enumerate(spec.inputs)]
        if spec.inputs_from is not None:
            inputs = [*(inputs or ()), *self._from_list(n, spec.inputs_from, len(spec.inputs))]
        if inputs:
            waits.extend(dict.fromkeys(inputs))
        if spec.payload_result is not None:
            payload_result = self._resolve(n, "payload_result", spec.payload_result)
            if payload_result not in waits:
                waits.append(payload_result)
        if waits:
            self._waits[n] = waits
        else:
            self.lanes[partition, options.priority] = line + 1
        self.tasks.append(
            (
                task, self.session, len(waits), len(waits), int(TaskStatus.PENDING), 0, partition, options.priority,
                options.max_retries, options.max_duration, function,
                None if payload_result is not None else payload, payload_result, inputs, outputs,
                None if options.labels is None else msgspec.json.encode(options.labels).decode(),
                None if application is None else msgspec.json.encode(application).decode(), self.parent,
            )
        )  # fmt: skip

    def link(self, found: Mapping[UUID, tuple[UUID, int]]) -> None:
        """Links the tasks with what they wait for. `found`: session and status of those in `outside` that exist, by id.

        Raises NotFound for one that does not exist in this session, Conflict for one that will never have a value.
        """
        complete: set[UUID] = set()
        for result, field in self.outside.items():
            state = found.get(result)
            if state is None or state[0] != self.session:
                raise NotFound(f"this session has no result {result}", field=field)
            if state[1] in (ResultStatus.ABORTED, ResultStatus.DELETED):
                raise Conflict(
                    f"result {result} is {ResultStatus(state[1]).name}: nothing can wait for it", field=field
                )
            if state[1] == ResultStatus.COMPLETED:
                complete.add(result)
        for n, waits in self._waits.items():
            task = self.tasks[n]
            left = [result for result in waits if result not in complete]
            self.edges.extend((result, task[0]) for result in left)  # type: ignore[misc]
            if not left:  # all there: ready from the start
                partition, priority = cast(tuple[int, int], task[6:8])
                self.lanes[partition, priority] = max(self.lanes.get((partition, priority), 0), self.first + n + 1)
            outside = any(result in self.outside for result in left)
            status = TaskStatus.CREATING if outside else TaskStatus.PENDING
            self.tasks[n] = (*task[:2], len(left), len(left), int(status), *task[5:])

    @property
    def ready(self) -> dict[int, int]:
        """How many tasks wait for nothing, by partition."""
        return Counter(cast(int, task[6]) for task in self.tasks if task[3] == 0)

    @property
    def functions(self) -> list[str | None]:
        """For each lane, in their order: the function that all its tasks have; None if they have several."""
        found: dict[object, list[str]] = defaultdict(list)
        for *lane, name in {(task[6], task[7], task[10]) for task in self.tasks if task[3] == 0}:
            found[tuple(lane)].append(cast(str, name))
        return [found[lane][0] if len(found[lane]) == 1 else None for lane in self.lanes]

    @property
    def marks(self) -> Marks:
        """What the submission's last chunk has to know of this one; complete after `link`."""
        outside = any(task[4] == TaskStatus.CREATING for task in self.tasks)
        return Marks(self.cross_chunk, outside, bool(self.claims), self.applications)

    def _other_outputs(self, n: int, line: int, task: UUID, outputs: int | list[UUID]) -> list[UUID]:
        if isinstance(outputs, int):
            made = [ids.result_id(self.submission, line, k) for k in range(outputs)]
            self.outputs.extend((result, task) for result in made)
            self._counts.append(outputs)
            return made
        for k, result in enumerate(outputs):
            if result in self.claims:
                raise Conflict(f"result {result} is claimed by two tasks", field=_at(n, f"outputs[{k}]"))
            self.claims[result] = task
        self._counts.append(0)
        return list(outputs)

    def _from_list(self, n: int, result: UUID, before: int) -> list[UUID]:
        """The inputs that a result's value names. `before`: how many the task has without them."""
        field, found = _at(n, "inputs_from"), self._lists.get(result)
        if found is None:
            raise Invalid("write the name inputs_from without escapes", field=field)
        if isinstance(found, HeadraceError):
            raise type(found)(found.message, field=field)
        if before + len(found) > MAX_INPUTS:
            raise Invalid(f"a task has at most {MAX_INPUTS} inputs; these are {before + len(found)}", field=field)
        self._listed += len(found)
        if self._listed > LISTED:
            raise Invalid(
                f"lists give at most {LISTED} inputs to the tasks of one message: spread them over several submissions",
                field=field,
            )
        return [self._resolve(n, f"inputs_from[{i}]", text) for i, text in enumerate(found)]

    def _resolve(self, n: int, name: str, text: str) -> UUID:
        """A result named by id, or by an earlier line as `@line` or `@line.output`."""
        if not text.startswith("@"):
            try:
                result = UUID(text)
            except ValueError:
                raise Invalid(f"{text!r} is neither a result's id nor @line", field=_at(n, name)) from None
            if (own := ids.place_of(self.submission, result)) is None:
                self.outside.setdefault(result, _at(n, name))
                return result
            text = "@{}.{}".format(*own)
        head, _, tail = text[1:].partition(".")
        if not head.isdecimal() or not (tail.isdecimal() or not tail) or len(head) > 8 or len(tail) > 3:
            raise Invalid(f"{text!r}: write @line or @line.output, such as @7 or @7.1", field=_at(n, name))
        line, output = int(head), int(tail or 0)
        if line >= self.first + n:
            raise Invalid(f"{text} is not an earlier line than {self.first + n}", field=_at(n, name))
        if line >= self.first:
            if output >= self._counts[line - self.first]:
                raise Invalid(f"line {line} has no output {output} of its own", field=_at(n, name))
        else:
            self.cross_chunk = True
        return _id(self._base | 1 << 32 | line << 8 | output)


def _id(value: int) -> UUID:
    return Id(value.to_bytes(16, "big"))


def _at(n: int, name: str) -> str:
    return f"tasks[{n}].{name}"
