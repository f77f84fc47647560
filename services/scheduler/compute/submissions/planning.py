"""A chunk's plan: its lines, with the options of its submission and its session."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from services.scheduler.compute.submissions.chunk import Chunk
from services.scheduler.compute.submissions.options import inherit, session_defaults
from services.scheduler.compute.submissions.plan import Plan
from services.scheduler.ports import Partitions
from shared.contracts.compute import Options, TaskSpec
from shared.db.sql import Row


async def plan_of(
    partitions: Partitions, chunk: Chunk, session: Row, specs: Sequence[TaskSpec], parent: UUID | None = None
) -> Plan:
    """The rows of a chunk, as far as they follow from its own lines. `parent`: the task that submits them."""
    base = session_defaults(session["partitions"], msgspec.json.decode(session["options"], type=Options))
    allowed = await partitions.numbers_of(session["partitions"])
    defaults = inherit(base, chunk.options)
    plan = Plan(chunk.submission, chunk.session, chunk.first, defaults, allowed, parent, chunk.lists)
    for spec in specs:
        plan.add(spec)
    return plan
