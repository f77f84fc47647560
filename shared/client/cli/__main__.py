"""`headrace`: the command line. Imports of weight are made by the commands that need them: `--help` is quick."""

import os
import signal
import sys

from cyclopts import App, CycloptsError

from shared.client.cli.commands import (
    archive,
    audit,
    compute,
    datasets,
    groups,
    logs,
    offers,
    operations,
    ops,
    partitions,
    permissions,
    queries,
    retrieve,
    session,
    storage,
    submit,
    tasks,
    tokens,
    users,
    values,
    watch,
)
from shared.client.errors import ClientError

HELP = """Look at a running Headrace, and give it work.

Address and token are found in .headrace/ of this folder or one above, or in HEADRACE_HTTP_URL and HEADRACE_TOKEN.
Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 nobody answers.
"""
EPILOGUE = """Examples:

headrace status

headrace submit tasks.ndjson --function square --wait

headrace archive night/2026-03-01 exposures/

headrace session cancel 019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f

headrace explain 019a6f2e-5d3c-7a10-8c44-000200000007
"""


WRONG_USAGE = 2


def build() -> App:
    """The application with all its commands."""
    app = App(
        name="headrace",
        help=HELP,
        help_epilogue=EPILOGUE,
        help_format="plaintext",
        version=_version,
        help_flags=["--help", "-h"],
    )
    for module in (
        ops, partitions, watch, compute, session, tasks, queries, values, logs, submit, archive, retrieve, datasets,
        operations, offers, storage, users, groups, tokens, permissions, audit,
    ):  # fmt: skip
        module.register(app)
    return app


def _version() -> str:
    from shared.client import __version__

    return __version__


def run(arguments: list[str]) -> int:
    """Runs a command; returns the exit code."""
    try:
        build()(arguments, exit_on_error=False, result_action="return_none")
    except CycloptsError:
        return WRONG_USAGE  # cyclopts has printed what is wrong
    except ClientError as error:
        from shared.client.cli.error_messages import exit_code, show_error

        show_error(error, as_json="--json" in arguments)
        return exit_code(error)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:  # `headrace events | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 0


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """The `headrace` command; exits with its status (docs: `headrace --help`)."""
    # Not Python's own handler, which asyncio replaces by one that waits for a blocked read of stdin.
    signal.signal(signal.SIGINT, _interrupt)
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
