"""Flow control of a connection: what its next bytes belong to, when reading pauses, and whether the client reads its answers."""

from asyncio import Transport
from enum import Enum

from uvicorn.protocols.http.flow_control import FlowControl

from services.gateway.http.connection.limits import Limits


class Reading(Enum):
    """What the next bytes of the client belong to."""

    HEAD = 1
    BODY = 2
    NOTHING = 3
    """The connection was refused: they are dropped."""


class HeldFlow(FlowControl):
    """uvicorn's flow control, which here also pauses reading while bytes wait for the requests before them to end (`held`)."""

    held = False

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport)
        self._unsent: tuple[float, int] | None = None
        self._resumed = False

    def resume_reading(self) -> None:
        if not self.held:
            super().resume_reading()

    def resume_writing(self) -> None:
        self._resumed = True
        super().resume_writing()

    def is_stuck(self, now: float, limits: Limits) -> bool:
        """Whether the client has read too little of its answer for too long (`write_least` in `write_window`)."""
        size = self._transport.get_write_buffer_size()
        if not size:
            self._unsent = None
        elif self._unsent is None or self._resumed or size <= self._unsent[1] - limits.write_least:
            self._unsent, self._resumed = (now, size), False
        return self._unsent is not None and now - self._unsent[0] > limits.write_window
