"""The headers that our messages carry, beside NATS's own."""

from typing import Final

TRACE: Final = "traceparent"
"""W3C trace context, from the HTTP request to the last task. NATS's own message tracing reads it too (ADR-41)."""
USER: Final = "Hr-User"
"""Who asks, set by the gateway on rpc; on commands the subject's user token counts instead."""
IDEMPOTENCY_KEY: Final = "Idempotency-Key"
"""The same key from the same user gives the same answer and acts once."""

SESSION: Final = "Hr-Session"
SUBMISSION: Final = "Hr-Submission"
CHUNK: Final = "Hr-Chunk"
FIRST: Final = "Hr-First"
"""The line of the submission with which the chunk begins."""
LAST: Final = "Hr-Last"
OPTIONS: Final = "Hr-Options"

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
