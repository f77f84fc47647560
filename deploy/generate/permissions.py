"""docs/permissions.md: what each user of the bus may publish and subscribe to (deploy/nats/permissions.py), and what each key of
the object store may do (deploy/s3/permissions.py)."""

from deploy.generate.markdown import table
from deploy.nats.permissions import NOUNS, SHARED_NOUNS, SITES, Permissions, pilot_user, site_user, users
from deploy.s3.permissions import RIGHTS

_ABOUT = {
    "gateway": "the HTTP edge",
    "scheduler": "sessions, results, tasks",
    "archiver": "datasets in",
    "retriever": "datasets out",
    site_user(SITES[0]): "the broker of a site: an example, one user a site",
    pilot_user(SITES[0]): "the workers of a site, its pilots: one user a site",
    "worker": "every worker process of the facility",
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
        "Services and `admin` are in the account `HEADRACE`, workers in `WORKERS`, the broker of each site in `SITE_<name>` and its",
        "workers in `PILOTS_<name>`, each person in `PERSON_<name>` (adr/0019-accounts.md). What a worker, a site or a person publishes, their accounts import from",
        "`HEADRACE`; an answer to it goes to `_R_.…` there. What one service asks another is in shared/contracts/asks.py.",
        "",
        f"Every service publishes its own {' and '.join(f'`{noun}`' for noun in SHARED_NOUNS)} events, and those of these nouns:",
        "",
        *table(("service", "nouns"), [(name, ", ".join(nouns)) for name, nouns in NOUNS.items()]),
        "",
        "The user `system` belongs to NATS's system account, for `nats server …`; it sees nothing of Headrace.",
    ]
    for name, allowed in users(sites=SITES[:1]).items():
        lines += ["", f"## {name}", "", f"{_ABOUT[name][0].upper()}{_ABOUT[name][1:]}.", "", *_lists(allowed)]
    lines += ["", *_object_store()]
    return {"docs/permissions.md": "\n".join(lines) + "\n"}


def _object_store() -> list[str]:
    rows = [
        (user, f"`{prefix}`", ", ".join(verbs)) for user, of_user in RIGHTS.items() for prefix, verbs in of_user.items()
    ]
    return [
        "## The object store",
        "",
        "Made from `deploy/s3/permissions.py`. Each user of the bus has a key of its own, so each site two; what is not listed is refused. Every key reads",
        "`headrace-storage.json`. Those who read `results/` also read the prefixes of HEADRACE_IMPORT_PREFIXES; brokers have no more.",
        "",
        *table(("key of", "prefix", "may"), rows),
    ]


def _lists(allowed: Permissions) -> list[str]:
    """One subject a line."""
    lines = []
    for verb, subjects in (("publishes", allowed.publish), ("subscribes to", allowed.subscribe)):
        lines += [f"- {verb}", *(f"  - `{subject}`" for subject in subjects)]
    return lines
