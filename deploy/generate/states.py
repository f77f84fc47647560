"""docs/states/: a diagram and a table for each state machine."""

import textwrap
from enum import IntEnum
from typing import Any

from deploy.generate.markdown import table
from services.archiver.catalogue.machine import MACHINES as ARCHIVER
from services.broker.offers.machine import MACHINE as OFFER
from services.scheduler.machine import MACHINES as SCHEDULER
from shared.chain.machine import MACHINE as CHAIN
from shared.contracts.endpoints import ENDPOINTS
from shared.runtime.machine import Machine

_OWNERS = {
    **{machine.noun: f"services/scheduler/machine/{machine.noun}.py" for machine in SCHEDULER},
    **{machine.noun: f"services/archiver/catalogue/machine/{machine.noun}.py" for machine in ARCHIVER},
    CHAIN.noun: "shared/chain/machine.py",
    OFFER.noun: "services/broker/offers/machine.py",
}


def files() -> dict[str, str]:
    """A page in docs/states for each machine."""
    return {f"docs/states/{machine.noun}.md": _page(machine) for machine in (*SCHEDULER, *ARCHIVER, CHAIN, OFFER)}


def _page(machine: Machine[Any]) -> str:
    lines = [
        f"# The states of {'an' if machine.noun[0] in 'aeio' else 'a'} {machine.noun}",
        "",
        f"Made from `{_OWNERS[machine.noun]}` by `python -m deploy.generate`: edit there.",
        "The table says what is legal. From any other state a verb is refused with both states named",
        "(`failed_precondition`, HTTP 409).",
        "",
    ]
    asked = [one for one in ENDPOINTS if one.noun == machine.noun and one.verb in machine.moves]
    if asked:
        endpoints = ", ".join(f"`{one.verb}` by `{one.subject}`" for one in asked)
        lines += [f"Asked for by users: {endpoints}. The other verbs have no endpoint.", ""]
    unused = _unused(machine)
    diagram = [
        line for line in machine.mermaid().splitlines() if line.strip() not in {f"{s.name} --> [*]" for s in unused}
    ]
    lines += ["```mermaid", *diagram, "```", ""]
    lines += table(
        ("verb", "from", "to"),
        [(verb, _names(sources), target.name) for verb, (sources, target) in machine.moves.items()],
    )
    if machine.sets:
        lines += ["", "Sets of states that SQL names:", ""]
        lines += table(
            ("set", "states"),
            [(f"`{{{machine.noun}.{name}}}`", _names(states)) for name, states in machine.sets.items()],
        )
    if machine.derived:
        lines += ["", "States that no statement writes into its row:", ""]
        lines += table(("state", "how it comes about"), [(state.name, how) for state, how in machine.derived.items()])
    if unused := unused - machine.derived.keys():
        lines += ["", f"No verb leads to {_names(unused)} yet."]
    stored = ", ".join(f"{state.name} {state.value}" for state in machine.kind)
    lines += ["", *textwrap.wrap(f"Stored as: {stored}.", 110), ""]
    return "\n".join(lines)


def _unused(machine: Machine[Any]) -> frozenset[IntEnum]:
    """States that nothing leads to: declared for what is still to come."""
    reached = {machine.initial, *(target for _, target in machine.moves.values())}
    return frozenset(state for state in machine.kind if state not in reached)


def _names(states: frozenset[IntEnum]) -> str:
    return ", ".join(state.name for state in sorted(states))
