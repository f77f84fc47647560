"""Counts in memory how many datablocks of a dataset are done, so that a report of progress needs no look at all of them."""

from collections.abc import Collection, Mapping
from typing import Any

from shared.contracts.operations import Amount

Block = Mapping[str, Any]


class Tally:
    """`blocks`: all that are to be done, with their `packed_size` in bytes; `done`: those that are already.

    `prefix`: of the units' names: `validated_` counts `validated_datablocks` and `validated_bytes`.
    """

    def __init__(self, prefix: str, blocks: Collection[Block], done: Collection[Block]) -> None:
        self._prefix = prefix
        self._all, self._size = len(blocks), _size(blocks)
        self._done, self._done_size = len(done), _size(done)

    def add(self, block: Block) -> dict[str, Amount]:
        """Counts one more that is done; the amounts then."""
        self._done += 1
        self._done_size += block["packed_size"]
        return self.amounts()

    def amounts(self) -> dict[str, Amount]:
        """The datablocks and their bytes, as `StepContext.progress` takes them."""
        datablocks, size = Amount(self._done, self._all), Amount(self._done_size, self._size)
        return {f"{self._prefix}datablocks": datablocks, f"{self._prefix}bytes": size}


def _size(blocks: Collection[Block]) -> int:
    return sum(block["packed_size"] for block in blocks)
