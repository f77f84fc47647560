"""What `make run` says: a line when something changes, the end of a log when something is wrong."""

import contextlib

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deploy.local.process import Event
from deploy.local.stack import Stack

_MARKS = {
    "starting": "[dim]…[/]",
    "ready": "[green]✓[/]",
    "restarting": "[yellow]↻[/]",
    "died": "[red]✗[/]",
    "killed": "[red]✗[/]",
    "renewed": "[yellow]↻[/]",
    "stopped": "[dim]·[/]",
    "full": "[red]✗[/]",
    "has room": "[green]✓[/]",
    "well again": "[green]✓[/]",
}
_ON_A_TERMINAL_ONLY = ("starting",)


class Show:
    """The console as the supervisor uses it."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.stack: Stack | None = None

    def event(self, event: Event) -> None:
        if event.what in _ON_A_TERMINAL_ONLY and not self.console.is_terminal:
            return
        detail = f"  [dim]{escape(event.detail)}[/]" if event.detail else ""
        self.say(f"{_MARKS.get(event.what, '·')} {event.name:<11} {event.what}{detail}")
        if event.what == "died" and self.stack is not None:
            self.say(f"[dim]{escape(self.stack.processes[event.name].tail(5))}[/]")

    def addresses(self, stack: Stack, *, services: bool) -> None:
        table = Table.grid(padding=(0, 2))
        rows = {
            "nats": stack.nats.url,
            "postgres": f"127.0.0.1:{stack.postgres.port}, database headrace",
            "s3": stack.s3.url,
            "logs": str(stack.home.logs),
        }
        for name, value in ({"http": stack.http} | rows if services else rows).items():
            table.add_row(f"  [bold]{name}[/]", escape(value))
        self.console.print(table)

    def say(self, text: str) -> None:
        # No wrapping: a path or a line of a log is there to be copied.
        # What cannot be written (to a file on a full disk) is lost: who supervises goes on.
        with contextlib.suppress(OSError):
            self.console.print(text, highlight=False, soft_wrap=True)

    def error(self, text: object) -> None:
        self.say(f"[red]error:[/] {escape(str(text))}")
