"""Names, and how a task is to run."""

from typing import Annotated, Final

import msgspec

Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}$(?!\n)")]
"""A name that may become a path, a key or a subject token: no slash, no leading dot, no control characters.

(`$` alone would let a final newline pass.)"""
PartitionName = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$(?!\n)")]
Function = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_.:-]{0,127}$(?!\n)")]
Label = Annotated[str, msgspec.Meta(max_length=255, pattern=r"^[^\x00-\x1f\x7f]*$(?!\n)")]
"""A text for people: anything but control characters."""

DEFAULT_PARTITION: Final = "default"


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a task is to run. What is not said is inherited: task, then submission, then session, then the defaults.

    partition      where it runs                                          (`default`)
    function       which of the workers' functions runs it                (required in the end)
    priority       1 to 99, higher first                                  (1)
    max_retries    further attempts after an infrastructure failure       (2)
    max_duration   seconds that its code may run, 0.001 to 30 days        (no limit)
    labels         the user's own, at most 64, not read by Headrace
    """

    partition: PartitionName | None = None
    function: Function | None = None
    priority: Annotated[int, msgspec.Meta(ge=1, le=99)] | None = None
    max_retries: Annotated[int, msgspec.Meta(ge=0, le=100)] | None = None
    max_duration: Annotated[float, msgspec.Meta(ge=0.001, le=2_592_000)] | None = None
    labels: Annotated[dict[Label, Label], msgspec.Meta(max_length=64)] | None = None
