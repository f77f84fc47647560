"""`POST …/submissions`: one JSON body, or newline-delimited JSON of any length."""

from typing import Annotated, Final
from uuid import UUID

import msgspec

from services.gateway.compute.submissions import keyed_id, submit_lines
from services.gateway.http.errors import UnsupportedMedia
from services.gateway.http.fields import convert, json_value
from services.gateway.http.reply import JSON, Reply
from services.gateway.http.request import Request
from shared.contracts.compute import Options, SubmissionCreate, TaskSpec
from shared.contracts.endpoints.compute import SUBMISSION_CREATE
from shared.contracts.errors import Invalid
from shared.contracts.ids import is_submission, submission_id
from shared.contracts.topology import MESSAGE_LIMIT

NDJSON: Final = "application/x-ndjson"
_HINT: Final = f"; send longer submissions as {NDJSON}, one task a line"


class SubmissionBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The tasks of a submission, in order; `options` hold for all of them."""

    tasks: Annotated[list[TaskSpec], msgspec.Meta(min_length=1)]
    options: Options | None = None


class SubmissionQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`id`: the caller's own (a UUIDv7 whose low 33 bits are zero). `options`: hold for all tasks."""

    session: UUID
    id: UUID | None = None
    options: Options | None = None


class _OptionsHeader(msgspec.Struct, frozen=True):
    options: Options


async def submit(request: Request, query: SubmissionQuery) -> Reply:
    """Options of the query go before those of the header `Hr-Options`, and these before the body's."""
    submission, options = _submission(request, query), query.options
    if options is None and (header := request.header(b"hr-options")):
        options = convert({"options": json_value("options", header)}, _OptionsHeader).options
    if request.media_type == NDJSON:
        body = request.chunks()
        done = await submit_lines(request.edge.bus, request.context, query.session, submission, options, body)
        return Reply(done, 201)
    if request.media_type not in ("", JSON):
        refusal = f"{request.media_type!r} is not taken here; {JSON} or {NDJSON} is"
        raise UnsupportedMedia(refusal, field="Content-Type")
    whole = await request.json(SubmissionBody, MESSAGE_LIMIT, _HINT)
    message = SubmissionCreate(query.session, whole.tasks, submission, options or whole.options)
    return Reply(await request.ask_raw(SUBMISSION_CREATE, message), 201)


def _submission(request: Request, query: SubmissionQuery) -> UUID:
    """The submission's id: given, or following from the idempotency key, or new."""
    if query.id is not None:
        if not is_submission(query.id):
            raise Invalid("a UUIDv7 whose low 33 bits are zero is expected", field="id")
        return query.id
    if key := request.key:
        return keyed_id(request.context.user, query.session, key)
    return submission_id()
