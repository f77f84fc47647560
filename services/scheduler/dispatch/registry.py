"""The partitions that this process knows: read from the table, kept with what is counted here."""

from collections.abc import Collection, Iterator
from typing import Any

import asyncpg

from services.scheduler.dispatch import partitions
from services.scheduler.dispatch.partition import Partition
from shared.bus import topology
from shared.bus.client import Bus
from shared.contracts.topology import TASKS, worker_consumer
from shared.db.sql import Db
from shared.runtime.log import log


class Registry:
    """Every partition by its number (the row's id) and by its name; `ports.Partitions`.

    suspensions   how often `suspend_all` was called: a rebuild that began before the last one does not count
    limited       numbers of the partitions that have a `max`
    of_sites      numbers of the partitions of sites, by name
    """

    def __init__(self, bus: Bus, pool: "asyncpg.Pool[Any]") -> None:
        self._bus, self._pool = bus, pool
        self._partitions: dict[int, Partition] = {}
        self.suspensions = 0
        self.limited: frozenset[int] = frozenset()
        self.of_sites: dict[str, int] = {}

    def __iter__(self) -> Iterator[Partition]:
        return iter(list(self._partitions.values()))

    def get(self, number: int) -> Partition | None:
        """The partition of this number; None if it is not known here."""
        return self._partitions.get(number)

    def named(self, name: str) -> Partition | None:
        """The partition of this name; None if it is not known here."""
        return next((partition for partition in self._partitions.values() if partition.name == name), None)

    def add(self, partition: Partition) -> Partition:
        """Keeps the partition. If one of its number is known already, that one stays, and is returned."""
        return self._partitions.setdefault(partition.number, partition)

    async def numbers_of(self, names: Collection[str]) -> dict[str, int]:
        """The numbers of the partitions of these names, as far as they exist. Reads the table if one is not known here."""
        known = {partition.name: partition.number for partition in self._partitions.values()}
        if not known.keys() >= set(names):  # another scheduler may have just made it
            await self.refresh()
            known = {partition.name: partition.number for partition in self._partitions.values()}
        return {name: number for name, number in known.items() if name in names}

    async def hold(self, db: Db, names: Collection[str]) -> set[str]:
        """Those of the names that exist; none of them is deleted before the transaction of `db` ends."""
        return await partitions.hold(db, names)

    def suspend_all(self) -> None:
        """Nobody knows what is in the queues: nothing is dispatched here until `recovery` has rebuilt them."""
        self.suspensions += 1
        for partition in self._partitions.values():
            partition.suspend()

    async def refresh(self) -> None:
        """Reads the table. Makes the workers' consumer of a partition that is new; forgets one that was deleted."""
        rows = {row["id"]: row for row in await partitions.listed(self._pool)}
        for number in self._partitions.keys() - rows.keys():
            log.info("partition.forgotten", partition=self._partitions.pop(number).name)
        for number, row in rows.items():
            partition = self._partitions.get(number)
            if partition is None:
                await topology.ensure_consumer(self._bus, TASKS.name, worker_consumer(row["name"]))
                # Another refresh may have been faster: there must be one object that counts.
                partition = self.add(Partition(number, row["name"]))
                log.info("partition.known", partition=partition.name)
            partition.configure(row["priority"], row["reserve"], row["max"])
        self.of_sites = {row["name"]: number for number, row in rows.items() if row["of_site"]}
        self.limited = frozenset(p.number for p in self._partitions.values() if p.max is not None)
