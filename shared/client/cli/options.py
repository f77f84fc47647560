"""Options that many commands share, and how a command gets its examples under its help."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from cyclopts import App, Parameter


@Parameter(name="*")
@dataclass(frozen=True)
class Output:
    """How a command prints what it shows."""

    json: Annotated[
        bool, Parameter(name="--json", negative="", show_default=False, help="Print JSON, for machines.")
    ] = False


@Parameter(name="*")
@dataclass(frozen=True)
class Paging:
    """Which page of a list a command shows."""

    size: Annotated[int, Parameter(help="Most entries to show, 1 to 1000.")] = 100
    token: Annotated[str | None, Parameter(help="Where the next page begins, as the page before gives it.")] = None


@Parameter(name="*")
@dataclass(frozen=True)
class Filters:
    """Which entries of a list a command shows."""

    where: Annotated[
        tuple[str, ...],
        Parameter(
            negative="",
            show_default=False,
            help="Only what fits: conditions with commas between them (and), or --where again (or). Operators: = != < <= > >= "
            "contains !contains starts ends in. Fields are those that --json shows; labels.<key> for labels.",
        ),
    ] = ()


@Parameter(name="*")
@dataclass(frozen=True)
class Finding(Filters):
    """Options of a list: which entries, and in which order."""

    sort: Annotated[
        str | None,
        Parameter(allow_leading_hyphen=True, help="Sorted by this field; with - before it, the other way round."),
    ] = None


PLAIN = Output()
FIRST = Paging()
EVERYTHING = Filters()
AS_IT_IS = Finding()


def add(app: App, command: Callable[..., Any], **named: Any) -> None:
    """Adds a command; what its docstring has under `Examples:` goes to the end of its help."""
    _, _, examples = (inspect.getdoc(command) or "").partition("\nExamples:\n")
    app.command(command, help_epilogue=f"Examples:\n{examples.rstrip()}", **named)
