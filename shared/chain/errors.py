"""What a step may raise.

UserError   what the user gave is wrong: trying again will not help, the chain fails with on_user_error
Later       not an error: nothing to do yet, call me again
Unavailable, TimedOut, RateLimited, NoRoom: a server is away or full: waited for; not Unreadable, which is about one object
anything    a system error: tried again as the step's kind says, then the chain fails with on_system_error
"""


class UserError(Exception):
    """What the user gave is wrong; the message is for the user."""


class Later(Exception):
    """What the step waits for is not there yet. It is called again after `seconds`; that is no failed try.

    `why`: what it waits for, such as `the tape robot`, for those who ask the chain.
    """

    def __init__(self, seconds: float, why: str = "") -> None:
        self.seconds, self.why = seconds, why
        super().__init__(why or f"again in {seconds:g} s")


class Superseded(Exception):
    """The chain has gone on without this run of its step (lease lost, cancelled): whatever it does now counts for nothing."""
