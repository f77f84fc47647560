"""A user of `/compute/v1`: opens sessions, gives results, submits tasks, over HTTP as anybody would."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from shared.contracts import ids
from tests.support.edge import Edge
from tests.support.wait import wait_until

COMPUTE = "/compute/v1"


class Sessions:
    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    async def post(self, path: str, body: Any, status: int = 200) -> Any:
        answer = await self._edge.ask("POST", f"{COMPUTE}{path}", json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def open(self, *partitions: str, **more: Any) -> str:
        made = await self.post("/sessions", {"partitions": list(partitions), **more}, 201)
        return str(made["id"])

    async def get(self, session: str) -> dict[str, Any]:
        found: dict[str, Any] = await self._edge.get(f"{COMPUTE}/sessions/{session}")
        return found

    async def lead(self, session: str, verb: str) -> dict[str, Any]:
        """The session after `pause`, `resume`, `close`, `cancel`, `purge`."""
        found: dict[str, Any] = await self.post(f"/sessions/{session}/{verb}", {})
        return found

    async def partition(self, name: str) -> str:
        """A new one, which has no workers."""
        await self.post("/partitions", {"name": name}, 201)
        return name

    async def results(self, session: str, *names: str) -> list[str]:
        """Results without a value."""
        body = {"results": [{"name": name} for name in names]}
        made = await self.post(f"/sessions/{session}/results", body, 201)
        return [one["id"] for one in made["results"]]

    async def give(self, result: str, value: bytes) -> dict[str, Any]:
        """Uploads a value."""
        answer = await self._edge.ask("PUT", f"{COMPUTE}/results/{result}/data", content=value)
        assert answer.status_code == 200, answer.text
        given: dict[str, Any] = answer.json()
        return given

    async def submit(self, session: str, *tasks: dict[str, Any]) -> list[str]:
        """The ids of the tasks."""
        path = f"/sessions/{session}/submissions?id={ids.submission_id()}"  # so that they stay in the order of time
        made = await self.post(path, {"tasks": tasks}, 201)
        return [str(ids.task_id(UUID(made["id"]), line)) for line in range(len(tasks))]

    async def statuses(self, tasks: Sequence[str]) -> list[str]:
        """As users see them."""
        return [(await self._edge.get(f"{COMPUTE}/tasks/{task}"))["status"] for task in tasks]

    async def until(self, tasks: Sequence[str], *wanted: str) -> None:
        """Until these tasks are in these states, one for each."""

        async def there() -> bool:
            return await self.statuses(tasks) == list(wanted)

        await wait_until(there, timeout=30, every=0.05, on_timeout=lambda: self.statuses(tasks))


def task(function: str, payload: Any = None, *inputs: str, **more: Any) -> dict[str, Any]:
    """A line of a submission."""
    return {"payload": payload, "inputs": list(inputs), "options": {"function": function}, **more}
