"""What each key of the object store may do, under which prefixes of the bucket.

One key for each service, one for the facility's workers, and for each site one of its broker and one of its workers: the same users as
on the bus. So a site's keys can be taken away without anybody else's.

Written as AWS writes policies, which SeaweedFS and other stores understand too. What is not listed is refused. Everybody reads the
marker that says which storage this is (shared/objects/identity.py); nobody but the operator's key writes it, lists the whole bucket,
or changes the bucket. A presigned URL can do no more than the key that signed it.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final, Literal

from deploy.nats.permissions import BROKER, OF_FACILITY, SITES, pilot_user, site_user
from shared.contracts.subjects import WORKER
from shared.objects.layout import MARKER, RESULTS

Right = Literal["read", "write", "delete", "list"]

RIGHTS: Final[Mapping[str, Mapping[str, tuple[Right, ...]]]] = {
    "gateway": {RESULTS: ("read", "write", "delete")},
    "scheduler": {RESULTS: ("read", "delete", "list")},
    "archiver": dict.fromkeys(("landing/", "staging/"), ("read", "write", "delete", "list")),
    "retriever": {"retrieval/": ("read", "write", "delete", "list"), RESULTS: ("read", "write", "delete")},
    BROKER: {},
    WORKER: {RESULTS: ("read", "write")},
}
"""Kind of user → prefix → what its key may do there."""
IMPORTERS: Final = ("gateway", "scheduler", WORKER)
"""They read the values of results, which may be objects that were imported from the operator's prefixes."""
USERS: Final = (*OF_FACILITY, WORKER, *(name(site) for site in SITES for name in (site_user, pilot_user)))
"""Whose keys the embedded store has."""

_OBJECT_ACTIONS: Final[Mapping[Right, tuple[str, ...]]] = {
    "read": ("s3:GetObject",),
    "write": ("s3:PutObject", "s3:AbortMultipartUpload"),
    "delete": ("s3:DeleteObject",),
    "list": (),
}
_LIST_ACTIONS: Final = ("s3:ListBucket", "s3:ListBucketMultipartUploads")


def kind(user: str) -> str:
    """`worker-site-a` → `worker`."""
    return user.partition("-")[0]


def rights(user: str, imports: Collection[str] = ()) -> dict[str, tuple[Right, ...]]:
    """Prefix → what a user's key may do there. `imports`: the prefixes from which objects may be imported as results."""
    imported: dict[str, tuple[Right, ...]] = {prefix: ("read",) for prefix in imports if kind(user) in IMPORTERS}
    return {**RIGHTS[kind(user)], **imported}


def policy(user: str, bucket: str, imports: Collection[str] = ()) -> dict[str, Any]:
    """The policy document of a user's key."""
    allowed = rights(user, imports)
    statements = [_allow(("s3:GetObject",), f"{bucket}/{MARKER}")]
    for prefix, verbs in allowed.items():
        if actions := tuple(action for verb in verbs for action in _OBJECT_ACTIONS[verb]):
            statements.append(_allow(actions, f"{bucket}/{prefix}*"))
    if listed := [f"{prefix}*" for prefix, verbs in allowed.items() if "list" in verbs]:
        statements.append(_allow(_LIST_ACTIONS, bucket) | {"Condition": {"StringLike": {"s3:prefix": listed}}})
    return {"Version": "2012-10-17", "Statement": statements}


def _allow(actions: Collection[str], resource: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": [f"arn:aws:s3:::{resource}"]}
