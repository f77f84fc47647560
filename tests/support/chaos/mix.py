"""Tasks of every shape in one submission, and what each of them must return."""

import json
import random
from typing import Any, Self

TOTAL = 5_000
NAP = 0.002
"""Seconds that most tasks take: so many of them last long enough to be in the middle of."""
LONG = 0.15
"""Longer than what a worker reports as started."""


class Mix:
    """`lines`: the submission; `values[n]`: what line n must return."""

    def __init__(self) -> None:
        self._specs: list[dict[str, Any]] = []
        self.values: list[int] = []

    def __len__(self) -> int:
        return len(self._specs)

    @property
    def lines(self) -> bytes:
        return b"".join(json.dumps(spec).encode() + b"\n" for spec in self._specs)

    def task(self, *inputs: int, nap: float = NAP) -> int:
        """One more task, which adds up its inputs; its line."""
        number = len(self._specs)
        payload: dict[str, Any] = {"n": number}
        if nap:
            payload["nap"] = nap
        spec: dict[str, Any] = {"payload": payload}
        if inputs:
            spec["inputs"] = [f"@{line}" for line in inputs]
        self._specs.append(spec)
        self.values.append(number + sum(self.values[line] for line in inputs))
        return number

    def chain(self, length: int) -> int:
        """Each waits for the one before; the last one's line."""
        last = self.task(nap=0)
        for _ in range(length - 1):
            last = self.task(last, nap=0)
        return last

    def layers(self, depth: int, width: int) -> int:
        """Layers that are joined and opened again; the last join's line."""
        join: tuple[int, ...] = ()
        for _ in range(depth):
            join = (self.task(*[self.task(*join) for _ in range(width)]),)
        return join[0]

    @classmethod
    def whole(cls, total: int = TOTAL) -> Self:
        """Chain, layers, long tasks, independent ones, and one that joins some of each. Exactly `total`."""
        mix = cls()
        ends = [mix.chain(60), mix.layers(total // 250, 50)]
        ends += [mix.task(nap=LONG) for _ in range(total // 125)]
        alone = [mix.task() for _ in range(total - len(mix) - 1)]
        mix.task(*ends, *random.Random(1).sample(alone, min(100, len(alone))))
        return mix
