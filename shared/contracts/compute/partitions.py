"""Partitions: where tasks run."""

import msgspec

from shared.contracts.compute.options import PartitionName


class PartitionCreate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: PartitionName


class Partition(msgspec.Struct, frozen=True):
    """`slots`: tasks that its live workers can run at once. `outstanding`: tasks in the queue or with a worker."""

    name: str
    workers: int
    slots: int
    outstanding: int


class PartitionPage(msgspec.Struct, frozen=True):
    items: list[Partition]
    next: str = ""
