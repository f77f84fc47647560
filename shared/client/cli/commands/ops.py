"""For operators: what runs, and what died."""

from typing import Annotated

from cyclopts import App, Parameter

from shared.client.cli.commands.partitions import HEADS, row
from shared.client.cli.options import FIRST, PLAIN, Output, Paging, add
from shared.client.errors import UsageError
from shared.client.paths import OPS


def register(app: App) -> None:
    """Adds the commands of this module to `app`."""
    add(app, status)
    dead = App(
        name="dead",
        help="Poisoned messages: list them, send them back.",
        help_epilogue="Examples:\n\nheadrace dead list\n\nheadrace dead replay --all",
    )
    add(dead, list_dead, name="list")
    add(dead, replay)
    app.command(dead)


def status(*, output: Output = PLAIN) -> None:
    """Services, streams and partitions. Exit code 1 if a service is not well.

    Examples:

    headrace status

    headrace status --json | jq .ok
    """
    from shared.client.cli import show
    from shared.client.cli.api import Api
    from shared.client.errors import FailedError

    with Api() as api:
        reply = api.get(f"{OPS}/status")
    if output.json:
        show.document(reply)
    else:
        show.table(
            "Services",
            ("service", "state", "version", "since", "checks"),
            (
                (s["service"], "ok" if s["ok"] else "failed", s["version"], s["since"], _checks(s["checks"]))
                for s in reply["services"]
            ),
        )
        show.table(
            "\nStreams",
            ("stream", "messages", "size", "consumer: pending / unacknowledged"),
            (
                (
                    s["name"],
                    s["messages"],
                    show.size(s["bytes"]),
                    [f"{c['name']}: {c['pending']} / {c['unacknowledged']}" for c in s["consumers"]],
                )
                for s in reply["streams"]
            ),
        )
        show.table("\nPartitions", HEADS, (row(p) for p in reply["partitions"]))
    if not reply["ok"]:
        raise FailedError("a service is not well")


def _checks(checks: dict[str, str]) -> str:
    return ", ".join(f"{name}: {state}" for name, state in checks.items() if state != "ok")


def list_dead(*, paging: Paging = FIRST, output: Output = PLAIN) -> None:
    """Poisoned messages and why they are.

    Examples:

    headrace dead list

    headrace dead list --json | jq '.items[].reason'
    """
    from shared.client.cli import show
    from shared.client.cli.api import Api

    with Api() as api:
        page = api.get(f"{OPS}/dead", size=paging.size, token=paging.token)
    if output.json:
        show.document(page)
        return
    rows = ((m["sequence"], m["time"][:19], m["stream"], m["subject"], m["reason"]) for m in page["items"])
    show.table("Dead messages", ("sequence", "time", "stream", "subject", "reason"), rows)
    show.more(page)


def replay(
    *sequences: int,
    every: Annotated[
        bool, Parameter(name="--all", negative="", show_default=False, help="All that are there.")
    ] = False,
    output: Output = PLAIN,
) -> None:
    """Send poisoned messages back to where they came from.

    Parameters
    ----------
    sequences
        Those of `headrace dead list`.

    Examples:

    headrace dead replay 3 5

    headrace dead replay --all
    """
    if every == bool(sequences):
        raise UsageError("give either sequences or --all")
    from shared.client.cli import show
    from shared.client.cli.api import Api

    with Api() as api:
        done = api.post(f"{OPS}/dead/replay", {"all": True} if every else {"sequences": list(sequences)})
    if output.json:
        show.document(done)
    else:
        show.facts(
            [
                ("replayed", len(done["replayed"])),
                ("missing", done["missing"]),
                ("not replayable", done.get("refused", [])),
            ]
        )
