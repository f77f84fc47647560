"""Whether an id is taken is nobody else's business: another's is refused in the very words of one that nobody has."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from shared.contracts import ids
from shared.contracts.endpoints import ENDPOINTS
from shared.contracts.errors import HeadraceError, NotFound
from shared.contracts.permissions import ROLES
from tests.support.compute_rig import Rig, open_rig, spec
from tests.support.servers import Servers
from tests.support.wire import example

NAMED = ("session", "task", "result", "submission", "tasks", "results")
"""Fields of requests that name things of a user's."""
ASKED = [
    one
    for one in ENDPOINTS
    if one.service == "scheduler"
    and one.needs in ROLES["user"]
    and one.request is not bytes
    and set(NAMED) & {field.encode_name for field in msgspec.structs.fields(one.request)}
    and one.noun != "operation"
]

FITTING: dict[str, dict[str, Any]] = {
    "scheduler.result.complete": {"object": None, "size": 0, "sha256": None},
    "scheduler.submission.create": {"id": None},
    "scheduler.task.rerun": {"statuses": ["error"]},
}
"""Where the example of the contract is refused whoever asks: what fits instead."""


@pytest.fixture(scope="module")
async def rig(servers: Servers) -> AsyncIterator[Rig]:
    async with open_rig(servers) as rig:
        yield rig


@pytest.fixture(scope="module")
async def anns(rig: Rig) -> dict[str, UUID]:
    """Things of ann's, by the field that names one."""
    session = await rig.session()
    submission = await rig.submit(session, [spec()])
    return {
        "session": session,
        "submission": submission,
        "task": ids.task_id(submission, 0),
        "result": await rig.result(session),
    }


def about(endpoint: Any, things: dict[str, UUID]) -> Any:
    """A request that names these things."""
    changed: dict[str, Any] = {}
    for field in msgspec.structs.fields(endpoint.request):
        kind = field.encode_name.removesuffix("s")
        if field.encode_name in NAMED and kind in things:
            value = getattr(example(endpoint.request), field.name)
            if isinstance(value, list):
                if value and isinstance(value[0], UUID):
                    changed[field.name] = [things[kind]]
            elif isinstance(value, UUID):
                changed[field.name] = things[kind]
    return msgspec.structs.replace(example(endpoint.request), **changed, **FITTING.get(endpoint.name, {}))


async def refusal(rig: Rig, endpoint: Any, things: dict[str, UUID]) -> tuple[Any, ...]:
    with pytest.raises(HeadraceError) as refused:
        await rig.ask(f"{endpoint.noun}.{endpoint.verb}", about(endpoint, things), msgspec.Raw, user="bob")
    text = refused.value.message
    for name, id in things.items():
        text = text.replace(str(id), f"<{name}>")
    return type(refused.value), text, refused.value.field


@pytest.mark.parametrize("endpoint", ASKED, ids=lambda one: one.name)
async def test_anothers_is_as_one_that_nobody_has(rig: Rig, anns: dict[str, UUID], endpoint: Any) -> None:
    submission = ids.submission_id()
    unknown = {"session": uuid4(), "submission": submission, "task": ids.task_id(submission, 0), "result": uuid4()}
    found = await refusal(rig, endpoint, anns)
    assert found == await refusal(rig, endpoint, unknown)
    assert found[0] is NotFound, found
