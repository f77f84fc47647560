"""The states of a session. docs/states/session.md is drawn from this."""

from shared.contracts.states import SessionStatus as S
from shared.runtime.machine import Machine

OPEN = frozenset({S.RUNNING, S.PAUSED})
LIVE = OPEN | {S.CLOSED}

SESSION = Machine(
    "session",
    S.RUNNING,
    {
        "pause": (frozenset({S.RUNNING}), S.PAUSED),
        "resume": (OPEN, S.RUNNING),
        "close": (OPEN, S.CLOSED),
        "cancel": (LIVE, S.CANCELLED),
        "reopen": (frozenset({S.CLOSED}), S.RUNNING),  # one that closed by itself, when a task of it is run again
        "purge": (frozenset({S.CLOSED, S.CANCELLED}), S.PURGED),
        "delete": (LIVE | {S.CANCELLED, S.PURGED}, S.DELETED),
    },
    kind=S,
    sets={
        "open": OPEN,  # takes submissions, as far as its flags allow; its tasks begin
        "live": LIVE,  # its tasks may still run
    },
    derived={S.DELETED: "the row is removed, and an event says that it is DELETED"},
)
