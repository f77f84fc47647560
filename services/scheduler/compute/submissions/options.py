"""What a task is run with: its own options, else its submission's, else its session's."""

from collections.abc import Sequence

import msgspec

from shared.contracts.compute import DEFAULT_PARTITION, Application, Options


class Defaults(msgspec.Struct, frozen=True):
    """What a task is run with when it says nothing itself."""

    partition: str
    function: str | None
    priority: int = 1
    max_retries: int = 2
    max_duration: float = 0.0
    labels: dict[str, str] | None = None
    application: Application | None = None


def inherit(base: Defaults, options: Options | None) -> Defaults:
    """The more specific wins, option by option; labels key by key, applications part by part."""
    if options is None:
        return base
    return Defaults(
        options.partition or base.partition,
        options.function or base.function,
        options.priority if options.priority is not None else base.priority,
        options.max_retries if options.max_retries is not None else base.max_retries,
        options.max_duration if options.max_duration is not None else base.max_duration,
        {**(base.labels or {}), **options.labels} if options.labels else base.labels,
        _application(base.application, options),
    )


def _application(base: Application | None, own: Options) -> Application | None:
    name, version = own.application_name, own.application_version
    namespace, service = own.application_namespace, own.application_service
    if not (name or version or namespace or service):
        return base
    base = base or Application()
    return Application(name or base.name, version or base.version, namespace or base.namespace, service or base.service)


def session_defaults(partitions: Sequence[str], options: Options) -> Defaults:
    """What the tasks of a session are run with when neither they nor their submission say anything."""
    return inherit(Defaults(partitions[0] if partitions else DEFAULT_PARTITION, None), options)
