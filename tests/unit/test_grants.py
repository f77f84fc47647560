"""What a site may still do for the owner of an offer, when the owner has changed."""

from typing import Any

import pytest

from services.gateway.execution.grants import ENDING, OPERATIONS, Grantee, grantee, operations
from shared.service.context import Context

CREATE = "hr.rpc.scheduler.session.create"
CASES: dict[str, tuple[dict[str, Any] | None, bool]] = {
    "as-before": ({"roles": ["user"], "disabled_at": None}, True),
    "more-roles": ({"roles": ["operator", "user"], "disabled_at": None}, True),
    "a-role-less": ({"roles": ["reader"], "disabled_at": None}, False),
    "disabled": ({"roles": ["user"], "disabled_at": "2026-12-01"}, False),
    "gone": (None, False),
}


@pytest.mark.parametrize("case", CASES)
def test_nothing_new_for_who_may_no_longer(case: str) -> None:
    user, able = CASES[case]
    allowed = operations(Grantee("ann", ("user",)), user)
    assert (CREATE in allowed) is able
    assert set(ENDING) <= set(allowed) <= set(OPERATIONS), "what it holds can always be given back"


def test_a_grant_is_the_owners_whoever_accepts() -> None:
    ann = Context("ann", groups=("physics",), roles=("reader", "user"), scope=("execution:write",))
    assert grantee(ann, "ann") == Grantee("ann", ann.roles, ann.groups, ann.scope)
    admin = Context("admin", roles=("admin",))
    assert grantee(admin, "ann") == Grantee("ann", ("user",)), "the admin who accepts makes nobody an admin"
    assert grantee(admin, "admin").roles == ("admin",)
