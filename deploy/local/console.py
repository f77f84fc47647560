"""What the supervisor prints: a line when something changes, the end of a log when a process has died."""

import contextlib

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deploy.local.process import Event
from deploy.local.stack import Stack

_SYMBOLS = {
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
_TERMINAL_ONLY = ("starting",)


class StackConsole:
    """The console that the supervisor prints to; `stack` is set as soon as there is one."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.stack: Stack | None = None

    def event(self, event: Event) -> None:
        """One line for an event of a process; with the last lines of its log if it has died."""
        if event.state in _TERMINAL_ONLY and not self.console.is_terminal:
            return
        detail = f"  [dim]{escape(event.detail)}[/]" if event.detail else ""
        self.line(f"{_SYMBOLS.get(event.state, '·')} {event.name:<11} {event.state}{detail}")
        if event.state == "died" and self.stack is not None:
            self.line(f"[dim]{escape(self.stack.processes[event.name].tail(5))}[/]")

    def addresses(self, stack: Stack, *, services: bool) -> None:
        """Where the servers and the logs are; with `services`, the HTTP edge too."""
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

    def line(self, text: str) -> None:
        """Prints a line of rich markup. An error of writing is ignored."""
        # No wrapping: a path or a line of a log is there to be copied.
        # What cannot be written (to a file on a full disk) is lost: who supervises goes on.
        with contextlib.suppress(OSError):
            self.console.print(text, highlight=False, soft_wrap=True)

    def error(self, text: object) -> None:
        """Prints an error, its text as it is."""
        self.line(f"[red]error:[/] {escape(str(text))}")
