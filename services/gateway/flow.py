"""What the next bytes of a connection belong to, and when none are read."""

from enum import Enum

from uvicorn.protocols.http.flow_control import FlowControl


class Reading(Enum):
    """What the next bytes of the client belong to."""

    HEAD = 1
    BODY = 2
    NOTHING = 3
    """The connection was refused: they are dropped."""


class HeldFlow(FlowControl):
    """Does not read on while bytes wait for the requests before them (`held`)."""

    held = False

    def resume_reading(self) -> None:
        if not self.held:
            super().resume_reading()
