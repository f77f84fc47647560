"""Watching over NATS: the reply has the events that came after a place. Version 1.

| subject                    | request         | reply   |
|----------------------------|-----------------|---------|
| `hr.watch.<user>.session`  | WatchSession    | Watched |
| `hr.watch.<user>.commands` | WatchCommands   | Watched |

A core request, answered by any gateway as soon as there is an event, and with none after `wait` seconds. Each
answer's `place` is what the next request says. The user token is bound by the asker's NATS permissions, as in `hr.cmd`.
docs/events.md says what an event means.
"""

from typing import Annotated, Final
from uuid import UUID

import msgspec

VERSION: Final = 1

PlaceText = Annotated[str, msgspec.Meta(max_length=128)]
Wait = Annotated[float, msgspec.Meta(ge=0, le=30)]
Named = Annotated[list[UUID], msgspec.Meta(max_length=1000)]


class WatchSession(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Asks for the events of a session. Without a `place` the replies begin with a snapshot of its states.

    tasks, results   events of these only; None: of all
    events           these events only (`task.changed`, or `task` for all of the noun); those of the snapshot always come
    wait             seconds after which the reply is empty
    """

    session: UUID
    place: PlaceText = ""
    tasks: Named | None = None
    results: Named | None = None
    events: Annotated[list[str], msgspec.Meta(max_length=64)] | None = None
    wait: Wait = 20


class WatchCommands(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Asks for the outcomes of the asker's durable commands. Without a `place` it is answered at once, with the place where the
    events end now."""

    place: PlaceText = ""
    wait: Wait = 20


class WatchEvent(msgspec.Struct, frozen=True):
    """`event`: `<noun>.<event>` as in `hr.evt.<noun>.<event>.<id>`; `id`: a session, or a command's sequence."""

    event: str
    id: str
    data: msgspec.Raw


class Watched(msgspec.Struct, frozen=True, omit_defaults=True):
    """`lost`: events between the place that was asked for and these may be missing (a session's watch begins anew instead)."""

    events: list[WatchEvent]
    place: str
    lost: bool = False
