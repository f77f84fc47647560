"""Asking the sites for offers, and taking one."""

from typing import Annotated, Any

from cyclopts import App, Parameter

from shared.client.cli.options import PLAIN, Output, add
from shared.client.errors import FailedError, UsageError
from shared.client.paths import EXECUTION

HEADS = ("", "offer", "site", "phase", "prepare", "start", "cores", "reasons")


def register(app: App) -> None:
    """Adds the commands of this module to `app`."""
    add(app, offers)


def offers(
    pid: str,
    /,
    *,
    cores: Annotated[int, Parameter(help="At least so many.")] = 1,
    memory: Annotated[int, Parameter(help="GiB, at least.")] = 1,
    accept: Annotated[
        str | None, Parameter(help="`best`, or the id of an offer that was made before: take it.")
    ] = None,
    output: Output = PLAIN,
) -> None:
    """Ask every site what it offers for work on a dataset, the best first.

    With --accept, a compute session begins there; the other offers are given back.

    Parameters
    ----------
    pid
        The dataset.

    Examples:

    headrace offers headrace/astropy --cores 2

    headrace offers headrace/astropy --accept best

    headrace offers headrace/astropy --accept 019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f --json | jq -r .session
    """
    from shared.client.cli import show
    from shared.client.cli.api import Api

    with Api() as api:
        if accept is not None and accept != "best":
            _show_outcome(_accept(api, accept), output)
            return
        made = api.post(f"{EXECUTION}/requests", _request(pid, cores, memory))
        if not output.json:
            _table(made)
        elif accept is None:
            show.document(made)
        if not made["offers"]:
            raise FailedError("no site makes an offer")
        if accept is not None:
            _show_outcome(_accept(api, made["offers"][0]["meta"]["uuid"]), output)


def _request(pid: str, cores: int, memory: int) -> dict[str, Any]:
    from shared.contracts.execution import OURS

    for name, value in (("--cores", cores), ("--memory", memory)):
        if value < 1:
            raise UsageError(f"{name}: at least 1")
    return {
        "compute": {"cores": {"min": cores}, "memory": {"min": memory}},
        "data": [{"kind": f"{OURS}dataset", "pid": pid}],
    }


def _accept(api: Any, offer: str) -> dict[str, Any]:
    update = {"kind": "uri:enum-value-update", "path": "/phase", "value": "ACCEPTED"}
    reply: dict[str, Any] = api.post(f"{EXECUTION}/sessions/{offer}", update)
    return reply


def _table(made: dict[str, Any]) -> None:
    from shared.client.cli import show

    rows = (
        (
            "*" if number == 0 else "",
            offer["meta"]["uuid"],
            offer["site"],
            offer["phase"],
            f"{offer['prepare_seconds']:.1f} s",
            f"{offer['starts_in_seconds']:.1f} s",
            offer["cores"],
            "; ".join(offer["reasons"]),
        )
        for number, offer in enumerate(made["offers"])
    )
    show.table("Offers, the best marked *", HEADS, rows)
    for message in made["meta"]["messages"]:
        show.console().print(show.cell(f"  {message['message']}"))


def _show_outcome(offer: dict[str, Any], output: Output) -> None:
    from shared.client.cli import show

    if output.json:
        show.document(offer)
    else:
        reply = {name: offer.get(name) for name in ("site", "partition", "phase", "session")}
        show.facts([("offer", offer["meta"]["uuid"]), *reply.items()])
    if offer["phase"] == "FAILED":
        raise FailedError("; ".join(message["message"] for message in offer["meta"]["messages"]))
