"""What the loader makes of SQL text, once, at start: states by name become numbers, `:name` becomes `$1`, `$2`, …

Nothing here knows of files. A piece of the text is changed only where PostgreSQL would read it as code: not in comments,
not in 'literals' or "identifiers", and in queries not between dollar quotes.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from shared.runtime.machine import Machine

_QUOTED = r"""
    --[^\n]*  |  /\*.*?\*/                                        # comments
    |  \b[eE]'(?:[^'\\]|''|\\.)*'  |  '(?:[^']|'')*'              # literals
    |  "(?:[^"]|"")*"                                             # identifiers
"""
_DOLLAR = r"|  (?<!\w)\$(?P<tag>[A-Za-z_]\w*)?\$.*?\$(?P=tag)\$  |  (?<!\w)\$\$.*?\$\$"
_STATE = r"""
    (?P<state>\{(?P<machine>[a-z_]+)\.(?P<name>[a-z_]+)\})
    |  (?P<bare>\b(?:[a-z]+_)?(?:status|state|phase)\s*(?:=|<>|[<>]=?|IN\s*\(|WHEN)\s*\d+)   # a state without its name
"""
_PARAMETER = r"""
    |  ::  |  :=                                                  # casts and assignments
    |  (?P<slice>\[\s*:\s*[A-Za-z_])                              # [:x] could be a slice or a parameter
    |  (?<![\w\])":]):(?P<parameter>[a-z_][a-z0-9_]*)             # not a bound of a slice: a[1:n]
    |  (?<![\w$])\$(?P<number>\d+)
"""
_FILE = re.compile(f"{_QUOTED} | {_STATE}", re.DOTALL | re.VERBOSE)
_QUERY = re.compile(f"{_QUOTED} {_DOLLAR} | {_STATE} {_PARAMETER}", re.DOTALL | re.VERBOSE)

Names = Mapping[str, str]
"""`task.open` → `2, 3`: what stands in SQL for a state or a set of states."""


def state_names(machines: Iterable[Machine[Any]], *, sets: bool = True) -> dict[str, str]:
    """The names that SQL may use for the states of `machines`; without their sets if `sets` is false."""
    names: dict[str, str] = {}
    for machine in machines:
        names |= {f"{machine.noun}.{name}": str(int(state)) for name, state in machine.states.items()}
        for name, states in machine.sets.items() if sets else ():
            names[f"{machine.noun}.{name}"] = ", ".join(str(int(state)) for state in sorted(states))
    return names


def render_states(text: str, names: Names, where: str) -> str:
    """The text of a schema file with numbers in place of `{machine.state}` and `{machine.set}`, in function bodies too.

    ValueError for a name that is not in `names`, and for a state by its number; `where` says in which file it stands.
    """
    return _FILE.sub(lambda found: _state(found, names, where), text)


def render_query(text: str, names: Names, where: str) -> tuple[str, tuple[str, ...]]:
    """A query as it is sent, and the names of its parameters: the first is `$1`.

    ValueError, with `where`, for an unknown state, for a state or a parameter by its number, and for `[:name]`, which could be a slice.
    """
    order: dict[str, int] = {}

    def replace(found: re.Match[str]) -> str:
        if found["number"]:
            raise ValueError(f"{where}: parameters have names, :name, not {found[0]}")
        if found["slice"]:
            raise ValueError(
                f"{where}: write [(:name)] for a parameter or [1:name] for a slice, not {found['slice']!r}"
            )
        if found["parameter"]:
            return f"${order.setdefault(found['parameter'], len(order) + 1)}"
        return _state(found, names, where)

    return _QUERY.sub(replace, text), tuple(order)


def _state(found: re.Match[str], names: Names, where: str) -> str:
    """What stands for a state or a set of states; all else as it was."""
    if found["bare"]:
        raise ValueError(f"{where}: name the state, {{machine.state}}, in {found['bare']!r}")
    if not found["state"]:
        return found[0]
    key = f"{found['machine']}.{found['name']}"
    if key not in names:
        known = sorted(name for name in names if name.startswith(f"{found['machine']}.")) or sorted(
            {name.split(".")[0] for name in names}
        )
        raise ValueError(f"{where}: there is no {found['state']}; there is {', '.join(known) or 'no machine here'}")
    return names[key]
