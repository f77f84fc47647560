"""docs/permissions.md: what each user of the bus may publish and subscribe to, as deploy/nats/permissions.py says."""

from deploy.generate.markdown import table
from deploy.nats.permissions import CALLS, NOUNS, SHARED_NOUNS, Permissions, users

_ABOUT = {
    "gateway": "the HTTP edge",
    "scheduler": "sessions, results, tasks",
    "archiver": "datasets in",
    "retriever": "datasets out",
    "broker": "a site's agent",
    "worker": "every worker process",
    "admin": "the operator and the `nats` tool",
    "alice": "somebody who publishes commands: an example, one user a person",
}


def files() -> dict[str, str]:
    """docs/permissions.md."""
    lines = [
        "# Who may publish and subscribe to what",
        "",
        "Made from `deploy/nats/permissions.py` by `python -m deploy.generate`: edit there, where the reasons are too.",
        "`deploy/nats/accounts.py` turns it into the server's accounts. What is on neither list is refused.",
        "",
        "Services and `admin` are in the account `HEADRACE`, workers in `WORKERS`, each person in `PERSON_<name>`",
        "(adr/0019-accounts.md). What a worker or a person publishes, their accounts import from `HEADRACE`; an answer to it",
        "goes to `_R_.…` there.",
        "",
        *table(("service", "asks"), [(name, ", ".join(asked)) for name, asked in CALLS.items()]),
        "",
        f"Every service publishes its own {' and '.join(f'`{noun}`' for noun in SHARED_NOUNS)} events, and those of these nouns:",
        "",
        *table(("service", "nouns"), [(name, ", ".join(nouns)) for name, nouns in NOUNS.items()]),
        "",
        "The user `system` belongs to NATS's system account, for `nats server …`; it sees nothing of Headrace.",
    ]
    for name, allowed in users().items():
        lines += ["", f"## {name}", "", f"{_ABOUT[name][0].upper()}{_ABOUT[name][1:]}.", "", *_lists(allowed)]
    return {"docs/permissions.md": "\n".join(lines) + "\n"}


def _lists(allowed: Permissions) -> list[str]:
    """One subject a line."""
    lines = []
    for verb, subjects in (("publishes", allowed.publish), ("subscribes to", allowed.subscribe)):
        lines += [f"- {verb}", *(f"  - `{subject}`" for subject in subjects)]
    return lines
