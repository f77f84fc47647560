"""Where things pass on the bus. Subjects are lower case, broad to narrow, ids last (NATS ADR-6)."""

import re
from typing import Final
from uuid import UUID

SERVICES: Final = ("gateway", "scheduler", "archiver", "retriever", "broker")
WORKER: Final = "worker"
"""The user of the bus that all workers of the facility are."""
PILOTS: Final = "PILOTS_"
"""How the account begins that the workers of a site have; the site's name follows."""

HEARTBEAT_REQUEST: Final = "hr.ctl.worker.beat"
"""Core publish: every worker that receives it sends its heartbeat at once (a scheduler that has just come up asks)."""


OFFER_REQUEST: Final = "hr.offer.request"
"""Core request with many replies: every site's broker answers."""


def rpc(service: str, noun: str, verb: str) -> str:
    """Request-reply, an endpoint of `service`'s micro service, one queue group per service."""
    return f"hr.rpc.{service}.{noun}.{verb}"


def command(user: str, service: str, noun: str, verb: str) -> str:
    """The durable form of `rpc`; the user token is bound by the publisher's NATS permissions."""
    return f"hr.cmd.{user}.{service}.{noun}.{verb}"


def commands_of(service: str) -> str:
    """The filter of a service's consumer on COMMANDS."""
    return f"hr.cmd.*.{service}.>"


def watch(user: str, what: str) -> str:
    """A question for what came after a place (`session`, `commands`); the user token is bound as in `command`."""
    return f"hr.watch.{user}.{what}"


def task(partition: str, band: int, session: UUID) -> str:
    """Tasks for the workers of a partition. `band` is the priority band, 0 (most urgent) to 9."""
    return f"hr.task.{partition}.{band}.{session}"


def tasks_of_partition(partition: str) -> str:
    """The filter of a partition's tasks."""
    return f"hr.task.{partition}.>"


def tasks_of_session(session: UUID) -> str:
    """The filter of a session's tasks."""
    return f"hr.task.*.*.{session}"


def report(partition: str) -> str:
    """What workers say of their tasks."""
    return f"hr.report.{partition}"


def beat(worker: str) -> str:
    """A worker's heartbeat: request-reply, core."""
    return f"hr.beat.worker.{worker}"


def step(service: str, chain: str, name: str) -> str:
    """A chain's due step: one message each, to the chain's own service."""
    return f"hr.step.{service}.{chain}.{name}"


def steps_of(service: str) -> str:
    """The filter of a service's consumer on STEPS."""
    return f"hr.step.{service}.>"


def schedule(service: str, chain_id: str) -> str:
    """Where a schedule for a later step lies; no consumer's filter may cover it (it would be delivered at once)."""
    return f"hr.at.{service}.{chain_id}"


def broker(site: str, verb: str) -> str:
    """An endpoint of one site's broker."""
    return f"hr.broker.{site}.{verb}"


def session_control(session: UUID) -> str:
    """Core publish to workers: a session was cancelled or paused."""
    return f"hr.ctl.session.{session}"


def event(noun: str, name: str, entity: object) -> str:
    """Something that happened. Task and result events are frames; their entity is the session."""
    return f"hr.evt.{noun}.{name}.{entity}"


def dead(stream: str, source: str) -> str:
    """Poison messages of a stream, with the reason in the headers. `source`: whose they are (`dead_source`)."""
    return f"hr.dead.{stream.lower()}.{source}"


_TOKEN: Final = re.compile(r"[\w-]+", re.ASCII)


def dead_source(subject: str) -> str:
    """Who a poison message counts for: the person of a command, the service of a step, for all else the workers.

    Only names that the bus or we have bound to somebody: a token that its sender chooses would be a share for each.
    """
    kind, _, rest = subject.removeprefix("hr.").partition(".")
    if kind not in ("cmd", "step", "at"):
        return WORKER
    token = rest.partition(".")[0]
    return token if _TOKEN.fullmatch(token) else "unknown"


_ANSWERED: Final = ("_INBOX_", "_INBOX.", "_R_.")


def is_reply(subject: str) -> bool:
    """Whether an answer may go there: an inbox, or the server's own subject for a request of another account.

    Who asks chooses where the answer goes, and it goes there with the rights of who answers: a command, a report or an
    event of somebody else's must not be made in this way.
    """
    return subject.startswith(_ANSWERED)
