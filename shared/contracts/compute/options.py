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

AppText = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]*$(?!\n)")]
"""What an application is called, or its version, namespace or service."""

DEFAULT_PARTITION: Final = "default"


class Application(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whose tasks these are, for workers that serve several applications. What is empty was not given."""

    name: str = ""
    version: str = ""
    namespace: str = ""
    service: str = ""


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a task is to run. What is not given is inherited: task, then submission, then session, then the defaults.

    partition      where it runs                                          (`default`)
    function       which of the workers' functions runs it                (the one named as the application)
    priority       1 to 99, higher first                                  (1)
    max_retries    further attempts after an infrastructure failure       (2)
    max_duration   seconds that its code may run, 0.001 to 30 days        (no limit)
    labels         the user's own, at most 64, not read by Headrace
    application_name, application_version, application_namespace, application_service
                   the application that it belongs to, which its worker gets; inherited one by one
    """

    partition: PartitionName | None = None
    function: Function | None = None
    priority: Annotated[int, msgspec.Meta(ge=1, le=99)] | None = None
    max_retries: Annotated[int, msgspec.Meta(ge=0, le=100)] | None = None
    max_duration: Annotated[float, msgspec.Meta(ge=0.001, le=2_592_000)] | None = None
    labels: Annotated[dict[Label, Label], msgspec.Meta(max_length=64)] | None = None
    application_name: AppText | None = None
    application_version: AppText | None = None
    application_namespace: AppText | None = None
    application_service: AppText | None = None
