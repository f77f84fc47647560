# /// script
# dependencies = ["parsl==2026.10.26"]
# ///
"""parsl: the high-throughput executor with two workers and prefetch; the graph is native, futures as arguments."""

import os
import sys
import tempfile
from concurrent.futures import Future
from pathlib import Path

import parsl
from measure import arguments, measure
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider


@parsl.python_app
def noop(*_inputs: object) -> None:
    pass


def known(tasks: list[Future]) -> int:
    return len([task.result() for task in tasks])


def independent(count: int) -> int:
    return known([noop() for _ in range(count)])


def chain(count: int) -> int:
    tasks = [noop()]
    for _ in range(count - 1):
        tasks.append(noop(tasks[-1]))
    return known(tasks)


def layers(depth: int, width: int) -> int:
    tasks: list[Future] = []
    for _ in range(depth):
        before = tasks[-1:]
        layer = [noop(*before) for _ in range(width)]
        tasks += [*layer, noop(*layer)]
    return known(tasks)


def main() -> None:
    options = arguments()
    # Its own programs are looked for on the PATH.
    os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    executor = HighThroughputExecutor(
        address="127.0.0.1",
        max_workers_per_node=2,
        prefetch_capacity=64,
        encrypted=False,
        provider=LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1),
    )
    folder = tempfile.gettempdir()
    with parsl.load(Config(executors=[executor], strategy="none", initialize_logging=False, run_dir=folder)):
        measure(options, independent=independent, chain=chain, layers=layers, one=lambda: known([noop()]))


if __name__ == "__main__":
    main()
