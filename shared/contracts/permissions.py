"""What an asker may do: permissions, and the roles that give them.

Each endpoint and each route names the one permission that it needs. Whose sessions and datasets an asker may see is
another question: the owner's (`shared/service/access.py`).
"""

from collections.abc import Iterable
from typing import Final

COMPUTE_READ: Final = "compute:read"
COMPUTE_WRITE: Final = "compute:write"
DATA_READ: Final = "data:read"
DATA_WRITE: Final = "data:write"
EXECUTION_READ: Final = "execution:read"
EXECUTION_WRITE: Final = "execution:write"
OPS: Final = "ops"
IDENTITY: Final = "identity"
"""To see and revoke one's own tokens, and to make further ones: what every user has."""
WORK: Final = "work"
"""To do the tasks of a partition: what workers need, and no user has."""
AT_SITE: Final = "site"
"""To have a partition, and hold accepted offers: what a site's broker needs, and no user has."""

ADMIN: Final = "admin"
"""A role, and the name of the only user who has it: sees and changes what others own."""
USER: Final = "user"
WORKER: Final = "worker"
SITE: Final = "site"

_LOOK: Final = frozenset({IDENTITY, COMPUTE_READ, DATA_READ, EXECUTION_READ})
_CHANGE: Final = frozenset({COMPUTE_WRITE, DATA_WRITE, EXECUTION_WRITE})
ROLES: Final[dict[str, frozenset[str]]] = {
    ADMIN: _LOOK | _CHANGE | {OPS},
    "operator": _LOOK | {OPS},
    USER: _LOOK | _CHANGE,
    "reader": _LOOK,
    WORKER: frozenset({WORK}),
    SITE: frozenset({AT_SITE}),
}
"""The permissions of each role."""


def allows(roles: Iterable[str], permission: str) -> bool:
    """Whether one of the roles gives the permission. A role that nobody knows gives nothing."""
    return any(permission in ROLES.get(role, ()) for role in roles)
