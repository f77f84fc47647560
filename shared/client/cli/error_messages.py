"""What an error means for whoever called the command: its exit code and its text."""

import json
import sys

from rich.console import Console
from rich.text import Text

from shared.client.errors import ClientError, UnreachableError, UsageError


def exit_code(error: ClientError) -> int:
    """1: refused or failed; 2: wrong usage; 3: nobody answers."""
    return 2 if isinstance(error, UsageError) else 3 if isinstance(error, UnreachableError) else 1


def show_error(error: ClientError, *, as_json: bool) -> None:
    """On stderr: what is wrong, where in the request, and the trace to search the logs for."""
    details = error.problem_details()
    if as_json:
        sys.stderr.write(json.dumps(details, ensure_ascii=False) + "\n")
        return
    out = Console(stderr=True, highlight=False, soft_wrap=True)
    out.print(Text("error: ", style="bold red") + Text(str(details["detail"])))
    for name in ("field", "trace"):
        if details.get(name):
            out.print(Text(f"  {name}: {details[name]}"))
