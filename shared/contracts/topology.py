"""The streams and their consumers, whole: what is not given here is the server's default.

Applied at start and on every reconnect (an update that omits a field resets it, and after a loss of storage the streams
have to be there before anything is published). Times are in seconds, sizes in bytes.

Why what is as it is (tried on nats-server 2.15.1, see docs/adr/0002-streams.md):
- TASKS and REPORTS carry no `Nats-Msg-Id`: guards in the tables decide, ids would cost 280 bytes each. Hence the short
  duplicate windows.
- `max_ack_pending = -1`: the default of 1,000 stalls a partition with more workers' slots than that.
- One explicit-ack consumer shared by all schedulers on REPORTS; `ack_policy: all` lost reports in a fail-over. The
  scheduler that dispatches is served first: what a report releases goes out from there without another hop.
- STEPS takes schedules under `hr.at.>`, which no consumer's filter covers. Every other subject of a work queue is some
  consumer's: what nobody takes would lie there for ever.
- `max_deliver` is left unlimited: it would leave a poison message lying in a work queue. The poison middleware counts
  deliveries, writes to DEAD and terminates.
"""

from typing import Final

import msgspec

from shared.contracts.subjects import commands_of, schedule, steps_of

MESSAGE_LIMIT: Final = 512 * 1024
"""Our own messages are cut here; the server's limit is twice that, for headers and framing."""

INLINE_LIMIT: Final = 16 * 1024
"""Values up to this many bytes travel inline; larger ones lie in object storage."""

EVENT_WINDOW: Final = 120
"""Seconds for which the bus forgets repeated events, and for which an outbox keeps what was published."""


class Consumer(msgspec.Struct, frozen=True):
    """A durable pull consumer. `ack_wait` in seconds; -1 in `max_ack_pending` is unlimited.

    `ranked`: requests say a rank, and those of the lowest are served first (a priority group, as NATS calls it).
    """

    name: str
    filter: str
    ack_wait: float = 30.0
    max_ack_pending: int = -1
    ranked: bool = False


class Stream(msgspec.Struct, frozen=True):
    """A stream on disk. `retention`: `workqueue` or `limits`. `max_age`, `duplicate_window` in seconds.

    Over `max_bytes`, or over `max_msgs_per_subject` on one subject, the oldest messages (of that subject) are dropped; if it
    `refuses`, none is: a publish is answered with an error instead.
    """

    name: str
    subjects: tuple[str, ...]
    retention: str
    description: str
    consumers: tuple[Consumer, ...] = ()
    max_age: float = 0
    max_bytes: int = -1
    max_msgs_per_subject: int = -1
    max_msg_size: int = 2 * MESSAGE_LIMIT
    duplicate_window: float = 1
    refuses: bool = False
    allow_schedules: bool = False


KEPT_WAIT: Final = 3.0
"""The `ack_wait` of what its holder keeps renewing (`Pull.kept`): how long it waits when the holder was killed."""


def worker_consumer(partition: str) -> Consumer:
    """The workers' consumer of a partition, made when the partition is.

    `ack_wait` is how long a task that had not begun waits after its worker was killed; workers renew it every 3 s.
    """
    return Consumer(f"workers-{partition}", f"hr.task.{partition}.>", ack_wait=10)


COMMANDED: Final = ("scheduler", "archiver", "retriever")
"""The services that have commands (a test compares it with the endpoints). A command to another is refused at once ("no
responders"): in a stream that nobody reads it would be acknowledged, and lie for ever."""

CHAINED: Final = ("scheduler", "archiver", "retriever")
"""The services that run chains: whose steps somebody takes."""

# Ids that users give their commands are remembered for a second only: they are one room for all users, and whoever guesses
# another's id could make the bus drop that command. What makes a command act once is its idempotency key, which is its user's.
COMMANDS: Final = Stream(
    "COMMANDS",
    tuple(commands_of(service) for service in COMMANDED),
    "workqueue",
    "Users' durable commands. A publish ack means that the bus has it, the outcome event that it is committed.",
    tuple(Consumer(f"commands-{service}", commands_of(service), ack_wait=KEPT_WAIT) for service in COMMANDED),
    # What is not carried out yet: of one user and one command, and of all together. A flood must not fill the disk.
    max_msgs_per_subject=1000,
    max_bytes=1 << 30,
    refuses=True,
)
TASKS: Final = Stream(
    "TASKS", ("hr.task.>",), "workqueue", "Tasks chosen for workers: a window of what waits in the tables."
)
REPORTS: Final = Stream(
    "REPORTS",
    ("hr.report.>",),
    "workqueue",
    "What workers say of their tasks.",
    (Consumer("schedulers", "hr.report.>", ack_wait=KEPT_WAIT, ranked=True),),
)
STEPS: Final = Stream(
    "STEPS",
    (*(steps_of(service) for service in CHAINED), *(schedule(service, ">") for service in CHAINED)),
    "workqueue",
    "Steps of chains that are due, and the schedules that make others due.",
    tuple(Consumer(f"steps-{service}", steps_of(service), ack_wait=60) for service in CHAINED),
    allow_schedules=True,
)
EVENTS: Final = Stream(
    "EVENTS",
    ("hr.evt.>",),
    "limits",
    "Everything that happened, for the gateway's event stream, webhooks and operators.",
    max_age=7 * 24 * 3600,
    max_bytes=1 << 30,
    duplicate_window=EVENT_WINDOW,
)
DEAD: Final = Stream(
    "DEAD",
    ("hr.dead.>",),
    "limits",
    "Poison messages with the reason; replayable by `headrace dead replay`.",
    max_age=30 * 24 * 3600,
    max_bytes=1 << 28,
    max_msgs_per_subject=256,
)
DEAD_WHOLE: Final = 32 * 1024
"""Bytes up to which a poison message is kept whole, with all of its headers. Of a longer one, the beginning.

With `max_msgs_per_subject`, a share of 8 MiB for each source (`subjects.dead_source`): a flood of one drops its own oldest."""

STREAMS: Final = (COMMANDS, TASKS, REPORTS, STEPS, EVENTS, DEAD)
