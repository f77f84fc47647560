"""`/ops/v1/permissions`: the policy as it counts now, and why somebody may do something or may not."""

from typing import Final

from services.gateway.http.asgi import Response
from services.gateway.http.reply import Reply
from services.gateway.http.request import Request
from services.gateway.http.route import Nothing, Route
from shared.contracts import identity as i
from shared.contracts.errors import Invalid, NotFound
from shared.contracts.permissions import OPS, ROLES
from shared.service.context import Context

ROOT: Final = "/ops/v1/permissions"


async def show(request: Request, _: object) -> Response:
    """The roles, the rules and the actions."""
    rules = getattr(request.edge.permissions, "rules", ())
    shown = [i.PolicyRule(n, rule.subject, rule.action, rule.resource, rule.allow) for n, rule in enumerate(rules, 1)]
    return Reply(i.PolicyShown({role: sorted(held) for role, held in ROLES.items()}, shown, dict(request.edge.actions)))


async def explain(request: Request, asked: i.Explain) -> Response:
    """Asks the policy as it would be asked for that user."""
    if (needs := request.edge.actions.get(asked.action)) is None:
        raise Invalid(f"there is no action {asked.action!r}: headrace permissions list has all", field="action")
    row = await request.edge.users.find(asked.user)
    if row is None:
        raise NotFound(f"there is no user {asked.user}", field="user")
    roles, groups = tuple(row["roles"]), tuple(row["groups"])
    if row["disabled_at"] is not None:
        return Reply(i.Explained(False, f"{asked.user} is disabled", needs, list(roles), list(groups)))
    context = Context(asked.user, groups, roles)
    decision = await request.edge.permissions.check(context, asked.action, needs, lambda: asked.thing)
    return Reply(i.Explained(decision.allowed, decision.reason, needs, list(roles), list(groups)))


ROUTES: Final = [
    Route(
        method="GET",
        path=ROOT,
        needs=OPS,
        action="permission.list",
        handler=show,
        summary="The policy as it counts now.",
        message=Nothing,
        reply=i.PolicyShown,
    ),
    Route(
        method="GET",
        path=f"{ROOT}/explain",
        needs=OPS,
        action="permission.explain",
        handler=explain,
        summary="Whether a user may do something, and why.",
        message=i.Explain,
        reply=i.Explained,
    ),
]
