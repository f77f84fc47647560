"""The headers that our messages carry, beside NATS's own."""

from typing import Final

TRACE: Final = "traceparent"
"""W3C trace context, from the HTTP request to the last task. NATS's own message tracing reads it too (ADR-41)."""
DELEGATION: Final = "Hr-Delegation"
"""For whom a service asks, on `hr.rpc`: signed (`shared/contracts/delegation.py`). On commands the subject's user token counts."""
GRANT: Final = "Hr-Grant"
"""Beside a request to a site's broker: a delegation that the broker passes on with what it asks for the user."""
BARE: Final = ("Hr-User", "Hr-Roles", "Hr-Groups")
"""Headers by which a user was once named without a signature. They are worth nothing: a request with one of them is refused."""
IDEMPOTENCY_KEY: Final = "Idempotency-Key"
"""The same key from the same user gives the same answer and acts once."""

FROM_ACCOUNT: Final = "Nats-Request-Info"
"""The server's own word, as JSON, on what was imported from another account: `acc` is its name. A client's own is overwritten."""

SESSION: Final = "Hr-Session"
"""The session's id, on a chunk of a submission."""
SUBMISSION: Final = "Hr-Submission"
"""The submission's id, on a chunk."""
CHUNK: Final = "Hr-Chunk"
"""The number of a chunk, from 0."""
FIRST: Final = "Hr-First"
"""The number of the first line of a chunk in the submission, from 0."""
LAST: Final = "Hr-Last"
"""`1` on the last chunk."""
OPTIONS: Final = "Hr-Options"
"""The Options of the submission's tasks as JSON, on a chunk."""

DEAD_REASON: Final = "Hr-Dead-Reason"
DEAD_STREAM: Final = "Hr-Dead-Stream"
DEAD_SUBJECT: Final = "Hr-Dead-Subject"
DEAD_SEQUENCE: Final = "Hr-Dead-Sequence"
DEAD_CONSUMER: Final = "Hr-Dead-Consumer"
DEAD_TIME: Final = "Hr-Dead-Time"
DEAD_SIZE: Final = "Hr-Dead-Size"
"""Bytes that the message had, if only its beginning was kept: such a one cannot be replayed."""

UNREADABLE: Final = "Hr-Unreadable"
"""In place of all others when a message's headers cannot be read; its value says why. Never on the wire."""
