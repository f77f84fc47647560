"""Every channel of the bus beside requests and commands: its subject, its message, who publishes and who subscribes."""

from typing import Any, Final

import msgspec

from shared.chain.effects import StepDue
from shared.contracts import events as e
from shared.contracts import operations, watch
from shared.contracts import work as w
from shared.contracts.execution import Phase
from shared.contracts.identity import UserChanged
from shared.contracts.states import name_of


class Channel(msgspec.Struct, frozen=True):
    """`subject` with its variable tokens in braces. `message`: a Struct, or None for a body that nobody reads.

    `reply`: what it is answered with, where it is a request. `headers`: those it carries beside `traceparent`.
    """

    name: str
    subject: str
    message: Any
    sender: str
    receiver: str
    about: str
    reply: Any = None
    headers: tuple[str, ...] = ()


WORK: Final = (
    Channel(
        "task", "hr.task.{partition}.{band}.{session}", w.TaskBatch, "scheduler", "worker",
        "Tasks of one session, chosen for the workers of a partition. The band is the priority's: 0 most urgent, 9 least.",
    ),
    Channel(
        "report", "hr.report.{partition}", w.ReportBatch, "worker", "scheduler",
        "What became of tasks, of any number of sessions, in order.",
    ),
    Channel(
        "beat", "hr.beat.worker.{worker}", w.Beat, "worker", "scheduler",
        "A worker's heartbeat with what it holds; the answer lists what it must stop.", reply=w.BeatReply,
    ),
    Channel(
        "beat.request", "hr.ctl.worker.beat", None, "scheduler", "worker",
        "Every worker that receives it sends its heartbeat at once. The body is not read.",
    ),
    Channel(
        "session.control", "hr.ctl.session.{session}", w.Control, "scheduler", "worker",
        "What has become of a session's tasks: what workers are to let go, or to stop.",
    ),
    Channel(
        "step", "hr.step.{service}.{chain}.{step}", StepDue, "each service", "the same service",
        "A step of a chain is due. It counts only while the chain's row has this epoch.",
    ),
    Channel(
        "schedule", "hr.at.{service}.{chain_id}", StepDue, "each service", "the server, which publishes it when due",
        "A step that is due later: the server puts it on the `hr.step` subject that Nats-Schedule-Target names.",
        headers=("Nats-Msg-Id", "Nats-Schedule", "Nats-Schedule-Target"),
    ),
)  # fmt: skip

WATCH: Final = (
    Channel(
        "watch.session", "hr.watch.{user}.session", watch.WatchSession, "who watches", "gateway",
        "What came in a session after a place; without one, how it stands. docs/events.md", reply=watch.Watched,
    ),
    Channel(
        "watch.commands", "hr.watch.{user}.commands", watch.WatchCommands, "who watches", "gateway",
        "What became of the asker's commands after a place. docs/events.md", reply=watch.Watched,
    ),
)  # fmt: skip

EVENTS: Final = (
    *(
        Channel(
            f"event.session.{event}", f"hr.evt.session.{event}.{{session}}", e.SessionChanged,
            "scheduler", "everybody", meaning,
        )
        for event, meaning in (
            ("created", "A session was made."),
            ("paused", "A session was paused: what does not run yet waits."),
            ("resumed", "A session goes on."),
            ("reopened", "A session that had closed when it was done runs again: a task of it does."),
            ("stopped", "A session takes no more tasks from its clients, or its workers."),
            ("closed", "A session was closed: what had not begun is cancelled."),
            ("cancelled", "A session was cancelled: its tasks end, and those that run are stopped."),
            ("purged", "A session's values are deleted."),
            ("deleted", "A session, and all that was in it, is gone."),
        )
    ),
    Channel(
        "event.user.changed", "hr.evt.user.changed.{user}", UserChanged, "gateway", "every gateway",
        "A user, a group of theirs or a token of theirs has changed: what is remembered of tokens is forgotten.",
    ),
    Channel(
        "event.submission.visible", "hr.evt.submission.visible.{session}", e.SubmissionMade, "scheduler", "everybody",
        "A submission is complete and its tasks count.",
    ),
    Channel(
        "event.task.changed", "hr.evt.task.changed.{session}", e.Frame, "scheduler", "everybody",
        "What one commit changed in one session: tasks and results by what they became.",
    ),
    Channel(
        "event.task.progress", "hr.evt.task.progress.{session}", e.TaskProgress, "scheduler", "everybody",
        "How far a task is, as its code says. Published once, never stored: not through the outbox.",
    ),
    Channel(
        "event.dataset.created", "hr.evt.dataset.created.{dataset}", e.DatasetChanged, "archiver", "everybody",
        "A dataset was registered.",
    ),
    Channel(
        "event.dataset.changed", "hr.evt.dataset.changed.{dataset}", e.DatasetChanged, "archiver", "everybody",
        "A dataset's lifecycle has moved.",
    ),
    Channel(
        "event.dataset.abandoned", "hr.evt.dataset.abandoned.{dataset}", e.DatasetChanged, "archiver", "everybody",
        "A dataset was given up by its owner: the pid is free, its bytes are removed.",
    ),
    Channel(
        "event.origdatablock.created", "hr.evt.origdatablock.created.{dataset}", e.DatasetChanged, "archiver", "everybody",
        "Files of a dataset were registered.",
    ),
    Channel(
        "event.upload.finished", "hr.evt.upload.finished.{dataset}", e.DatasetChanged, "archiver", "everybody",
        "All files of a dataset are in the landing zone: they are packed now.",
    ),
    Channel(
        "event.datablock.registered", "hr.evt.datablock.registered.{dataset}", e.DatasetChanged, "archiver", "everybody",
        "The datablocks of a dataset are packed, staged, and known to the catalogue.",
    ),
    Channel(
        "event.archive.changed", "hr.evt.archive.changed.{job}", e.JobChanged, "archiver", "everybody",
        "A job of the catalogue has moved.",
    ),
    Channel(
        "event.retrieval.changed", "hr.evt.retrieval.changed.{retrieval}", e.RetrievalChanged, "retriever", "everybody",
        "A retrieval has begun, has given a result its value, or has ended.",
    ),
    Channel(
        "event.task.logged", "hr.evt.task.logged.{session}", e.TaskLogged, "scheduler", "everybody",
        "What a task's code printed, piece by piece. Published once: not through the outbox. `task.logs` has it all.",
    ),
    Channel(
        "event.command.done", "hr.evt.command.done.{sequence}", e.CommandDone, "the command's owner", "everybody",
        "A durable command was carried out. The sequence is the command's in COMMANDS.",
    ),
    Channel(
        "event.command.rejected", "hr.evt.command.rejected.{sequence}", e.CommandRejected, "the command's owner",
        "everybody", "A durable command was refused, and why.",
    ),
    Channel(
        "event.chain.started", "hr.evt.chain.started.{chain}", e.ChainChanged, "the chain's service", "everybody",
        "A chain begins.",
    ),
    Channel(
        "event.chain.done", "hr.evt.chain.done.{chain}", e.ChainChanged, "the chain's service", "everybody",
        "A chain reached its end.",
    ),
    Channel(
        "event.chain.failed", "hr.evt.chain.failed.{chain}", e.ChainChanged, "the chain's service", "everybody",
        "A chain failed or was cancelled (`status` says which), and what it had done is undone.",
    ),
    Channel(
        "event.operation.changed", "hr.evt.operation.changed.{operation}", operations.Operation,
        "the operation's service", "everybody", "An operation begins, has come further, or has ended.",
    ),
    *(
        Channel(
            f"event.offer.{name_of(phase)}", f"hr.evt.offer.{name_of(phase)}.{{offer}}", e.OfferChanged,
            "the site's broker", "everybody", f"An offer of a site, or the session that it became, is {phase.name}.",
        )
        for phase in Phase if phase is not Phase.INITIAL
    ),
)  # fmt: skip

CHANNELS: Final = (*WORK, *WATCH, *EVENTS)
