"""Who is apart from whom on the bus: an account for the system, one for its workers, one for each site, one for each person.

Who sends a request chooses the subject of its reply, and the server checks no permission for that: the answer, or the
acknowledgement of a stored command, would be published there with the rights of who answers. Accounts end this: outside
of HEADRACE a subject means nothing to HEADRACE, and so does a reply subject. What may pass is imported, subject by
subject, and the server maps the reply of each request to one of its own (`_R_.…`). Why so, and what was tried:
docs/adr/0019-accounts.md.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from deploy.nats.permissions import (
    BROKER,
    OF_FACILITY,
    SITES,
    Permissions,
    person,
    pilot_user,
    site,
    site_user,
    site_worker,
    users,
    worker,
)
from shared.contracts import subjects

SYSTEM: Final = "system"
"""The user of NATS's own account, which asks for a reload."""

MOST: Final = {"max_connections": 64, "max_subscriptions": 1000}
"""What a person's account may have at a time, over all of its connections."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_TAKEN: Final = frozenset({*subjects.SERVICES, subjects.WORKER, SYSTEM, "admin", "headrace"})
_SITES: Final = (f"{BROKER}-", f"{subjects.WORKER}-")
"""How the users of the sites' brokers and workers begin."""


class Export(msgspec.Struct, frozen=True):
    """What HEADRACE offers to other accounts.

    `answers`: `singleton`, `stream` (many to one request), or empty: no request but messages to whoever listens.
    `seconds`: how long after a request its answers still find their way. Longer than any request waits.
    """

    subject: str
    answers: str = "singleton"
    seconds: int = 60


WATCHES: Final = Export("hr.watch.>", seconds=120)
PULLS: Final = Export("$JS.API.CONSUMER.MSG.NEXT.TASKS.>", "stream", 60)
EXPORTS: Final = (
    Export("hr.cmd.>"),
    WATCHES,
    PULLS,
    *(Export(subject) for subject in worker().publish if subject != PULLS.subject),
    *(Export(subject) for subject in site("*").publish),
    *(Export(subject, answers="") for subject in site("*").subscribe if not subjects.is_reply(subject)),
    Export("hr.ctl.>", answers=""),
    Export("hr.evt.>", answers=""),
)
"""Public to all accounts of this server's configuration, which nobody but the operator writes: what an account may really
use is what it imports. So another person is another account, and no change to this one."""


def is_person(name: str) -> bool:
    """Whether somebody may be called so: a token of a subject that no service has."""
    return _NAME.fullmatch(name) is not None and name not in _TAKEN and not name.startswith(_SITES)


def accounts(
    people: Iterable[str], passwords: Mapping[str, str], *, sites: Iterable[str] = SITES, events: bool = False
) -> dict[str, Any]:
    """The `accounts` block. `passwords`: of every user; `events`: people may subscribe to all events."""
    made = users(people, sites=sites, events=events)

    def login(name: str) -> dict[str, Any]:
        allowed = made[name]
        return {
            "user": name,
            "password": passwords[name],
            "permissions": {
                "publish": {"allow": list(allowed.publish)},
                "subscribe": {"allow": list(allowed.subscribe)},
            },
        }

    inside = (*OF_FACILITY, "admin")
    return {
        "HEADRACE": {
            "jetstream": "enabled",
            "exports": [_export(each) for each in EXPORTS],
            "users": [login(name) for name in inside],
        },
        "WORKERS": {"imports": _imports(worker()), "users": [login(subjects.WORKER)]},
        **{
            f"SITE_{name}": {"imports": _imports(site(name)), "limits": MOST, "users": [login(site_user(name))]}
            for name in sites
        },
        **{
            f"{subjects.PILOTS}{name}": {"imports": _imports(site_worker(name)), "users": [login(pilot_user(name))]}
            for name in sites
        },
        "SYSTEM": {"users": [{"user": SYSTEM, "password": passwords[SYSTEM]}]},
        **{
            f"PERSON_{name}": {
                "imports": _imports(person(name, events=events)),
                "limits": MOST,
                "users": [login(name)],
            }
            for name in people
        },
    }


def _export(each: Export) -> dict[str, Any]:
    if not each.answers:
        return {"stream": each.subject}
    return {"service": each.subject, "response_type": each.answers, "threshold": f"{each.seconds}s"}


def _imports(allowed: Permissions) -> list[dict[str, Any]]:
    """Imports for all but the own inbox: what a user publishes as services, what it subscribes to as streams."""
    subscribed = [subject for subject in allowed.subscribe if not subjects.is_reply(subject)]
    return [
        *({"service": {"account": "HEADRACE", "subject": subject}} for subject in allowed.publish),
        *({"stream": {"account": "HEADRACE", "subject": subject}} for subject in subscribed),
    ]
