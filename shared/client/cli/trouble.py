"""What can go wrong for the user of the command, each with its exit code.

CliError
├── RefusedError        1   the server answered with an error
├── FailedError         1   the work that was waited for failed
├── UsageError          2   the command was called wrongly
└── UnreachableError    3   nobody answers
"""

from typing import Any, ClassVar


class CliError(Exception):
    """Ends the command with a message."""

    exit_code: ClassVar[int] = 1

    def problem(self) -> dict[str, Any]:
        """For `--json`."""
        return {"detail": str(self)}


class RefusedError(CliError):
    """`told`: the server's problem details."""

    def __init__(self, status: int, told: dict[str, Any]) -> None:
        self.status, self.told = status, told
        super().__init__(told.get("detail") or f"the server answered {status}")

    def problem(self) -> dict[str, Any]:
        return {"status": self.status, "detail": str(self)} | self.told


class FailedError(CliError):
    pass


class UsageError(CliError):
    exit_code = 2


class UnreachableError(CliError):
    exit_code = 3
