"""The services and the workers: how each is started on a stack."""

import sys
from pathlib import Path

from deploy.local.process import SERVICES, WORKERS, Command
from deploy.local.stack import Stack

APP = "deploy.local.demo:app"
"""The functions that the workers of `make run` know."""
ROOT = Path(__file__).parents[2]


def service(stack: Stack, name: str) -> Command:
    """One of the five."""
    return Command(
        name=name,
        argv=(sys.executable, "-m", f"services.{name}"),
        tier=SERVICES,
        env=stack.env(name),
        cwd=ROOT,
    )


def worker(stack: Stack, name: str, *, app: str = APP, partition: str = "default", slots: int = 4) -> Command:
    """A worker process; `name` tells its log apart."""
    options = ("--app", app, "--partition", partition, "--slots", str(slots))
    return Command(
        name=name,
        argv=(sys.executable, "-m", "shared.worker", *options),
        tier=WORKERS,
        env=stack.env("worker"),
        cwd=ROOT,
    )
