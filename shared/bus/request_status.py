"""What the server's status messages say of a request for messages."""

from collections.abc import Mapping

_NOTHING_HAPPENED = frozenset({"404", "408"})
_FULFILLED = frozenset({"Batch Completed", "Message Size Exceeds MaxBytes"})
"""What the server says, as 409, of a request with `max_bytes` of which nothing more will come. Tried: without `max_bytes` it
says nothing when a batch is complete."""


def is_over(headers: Mapping[str, str]) -> bool:
    """Whether a status message only says that a request has ended.

    Its time is up, nothing is there, all of it has come, or the next message does not fit into its bytes.
    """
    return headers.get("Status") in _NOTHING_HAPPENED or headers.get("Description") in _FULFILLED
