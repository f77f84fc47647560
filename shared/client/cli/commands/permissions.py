"""Permissions: the policy as it counts now, and why somebody may do something or may not."""

from cyclopts import App

from shared.client.cli.options import PLAIN, Output, add


def register(app: App) -> None:
    """Adds the commands of this module to `app`."""
    group = App(
        name="permissions",
        help="Who may do what, and why.",
        help_epilogue="Examples:\n\nheadrace permissions explain ada session.create",
    )
    add(group, explain)
    add(group, list_permissions, name="list")
    app.command(group)


def explain(user: str, action: str, thing: str = "", /, *, output: Output = PLAIN) -> None:
    """Whether a user may do something, and why. Exit code 1 if not.

    Examples:

    headrace permissions explain ada session.create

    headrace permissions explain ada partition.update partition/gpu
    """
    from shared.client.cli import show
    from shared.client.cli.api import Api
    from shared.client.errors import FailedError
    from shared.client.paths import OPS

    with Api() as api:
        found = api.get(f"{OPS}/permissions/explain", user=user, action=action, thing=thing)
    if output.json:
        show.document(found)
    else:
        show.facts([
            ("allowed", "yes" if found["allowed"] else "no"), ("because", found["reason"]), ("needs", found["needs"]),
            ("roles", found["roles"]), ("groups", found["groups"]),
        ])  # fmt: skip
    if not found["allowed"]:
        raise FailedError(f"{user} may not do {action}")


def list_permissions(*, output: Output = PLAIN) -> None:
    """The permissions of each role, the rules of the policy file over them, and what each action needs.

    Examples:

    headrace permissions list

    headrace permissions list --json | jq .rules
    """
    from shared.client.cli import show
    from shared.client.cli.api import Api
    from shared.client.paths import OPS

    with Api() as api:
        found = api.get(f"{OPS}/permissions")
    if output.json:
        show.document(found)
        return
    show.table("Roles", ("role", "permissions"), sorted(found["roles"].items()))
    heads = ("rule", "subject", "action", "resource", "effect")
    rules = (
        (one["number"], one["subject"], one["action"], one["resource"], "allow" if one["allow"] else "deny")
        for one in found["rules"]
    )
    show.table("\nRules", heads, rules)
    show.table("\nActions", ("action", "needs"), found["actions"].items())
