"""What tests of partitions share: a function that measures who runs, and the operator's calls."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

from shared.contracts import compute as c
from shared.worker import App, Task
from tests.support.compute_rig import Rig, spec

app = App()
GATES: dict[str, asyncio.Event] = {}


class Meter:
    """How many run at once, and what began in which order."""

    def __init__(self) -> None:
        self.now, self.most, self.began = 0, 0, list[Any]()


METERS: dict[str, Meter] = {}


@app.function
async def measured(task: Task) -> None:
    """`[meter, mark, gate]`: notes that it runs; until the gate is open, or for an instant if there is none."""
    name, mark, gate = task.payload
    meter = METERS.setdefault(name, Meter())
    meter.began.append(mark)
    meter.now += 1
    meter.most = max(meter.most, meter.now)
    try:
        if gate:
            await GATES.setdefault(gate, asyncio.Event()).wait()
        else:
            await asyncio.sleep(0.01)
    finally:
        meter.now -= 1


async def create(rig: Rig, name: str = "", **values: Any) -> str:
    name = name or f"p{uuid4().hex[:12]}"
    await rig.ask("partition.create", c.PartitionCreate(name, **values), c.Partition, user="admin")
    return name


async def update(rig: Rig, name: str, **values: Any) -> c.Partition:
    return await rig.ask("partition.update", c.PartitionUpdate(name, **values), c.Partition, user="admin")


async def delete(rig: Rig, name: str) -> c.Partition:
    return await rig.ask("partition.delete", c.PartitionRef(name), c.Partition, user="admin")


async def get(rig: Rig, name: str) -> c.Partition:
    return await rig.ask("partition.get", c.PartitionRef(name), c.Partition)


async def explain(rig: Rig, task: UUID) -> c.Explanation:
    return await rig.ask("task.explain", c.TaskRef(task), c.Explanation)


def measure(meter: str, mark: object = None, gate: str = "", **options: Any) -> c.TaskSpec:
    return spec("measured", [meter, mark, gate], options=options)


async def says(rig: Rig, task: UUID, words: str) -> bool:
    return any(words in reason for reason in (await explain(rig, task)).reasons)
