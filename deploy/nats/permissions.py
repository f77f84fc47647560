"""Who may publish and subscribe to what: one NATS user per service, one for each site, one for workers, one for each person who publishes.

Derived from shared/contracts. The rules:

- A service subscribes to its own requests and answers them; it asks what `shared/contracts/asks.py` states, subject by subject; it
  publishes the events of the nouns that it owns (NOUNS) and the dead letters of the streams that it consumes.
- A site's broker is no service of the facility: each has a user and an account of its own. It hears what is asked of its own site,
  asks what a site may, publishes events of offers, and has nothing to do with JetStream.
- But for such replays only the scheduler publishes tasks, and only workers report.
- A user's commands carry the user's name, and no other user can publish under it. That is how the owner knows who speaks.
  Only the gateway can, which speaks for users anyway and puts dead letters back when an operator says so.
- Events do not carry an owner, so people may not subscribe to them on the bus unless the operator trusts them with all of them
  (`users(…, events=True)`). The gateway shows to each their own: over HTTP, and on the bus to who asks under the own name
  (`hr.watch.<user>.…`, docs/events.md).
- Everybody has an inbox of his own (`_INBOX_<user>.>`), so that nobody reads another's replies. Services list the inboxes
  that they answer; the server's `allow_responses` would do it too, but it remembers every delivered message for minutes.
- Workers and people are in accounts of their own (deploy/nats/accounts.py): a service sees `_R_.…` as the reply of what
  they ask, and answers that. These lists are a second wall there.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from shared.contracts import subjects, topology
from shared.contracts.asks import ASKS
from shared.contracts.endpoints import ENDPOINTS
from shared.contracts.permissions import ROLES, WORKER

BROKER: Final = "broker"
OF_FACILITY: Final = tuple(name for name in subjects.SERVICES if name != BROKER)
"""The services that are the facility's own; each site has a broker."""
SITES: Final = ("local", "site-a", "site-b")
"""The sites of `make run` and of the tests; `local` is that of a broker that names none."""

NOUNS: Final = {
    "gateway": ("workstep", "offerset", "callback", "user", "token"),
    "scheduler": (
        "session", "submission", "task", "result", "partition", "worker",
        "job", "claim", "execution", "object", "workflow",
    ),
    "archiver": ("dataset", "origdatablock", "datablock", "upload", "archive"),
    "retriever": ("retrieval",),
    "broker": ("offer",),
}  # fmt: skip
"""The nouns of each service's events. Every service also publishes events of its chains, of the operations that they are to users, and
of the commands that it has carried out."""
SHARED_NOUNS: Final = ("command", "chain", "operation")


class Permissions(msgspec.Struct, frozen=True):
    """Allow-lists; what is in neither is refused."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


EVERYTHING: Final = Permissions((">",), (">",))

IMPORTED_REPLIES: Final = "_R_.>"
"""Where a service answers what came from another account; the server makes such a subject for each request."""


def inbox(user: str) -> str:
    """The replies of `user`; a client connects with `inbox_prefix=f"_INBOX_{user}"`."""
    return f"_INBOX_{user}.>"


def site_user(site: str) -> str:
    """The user of the bus that the broker of a site is."""
    return f"{BROKER}-{site}"


def pilot_user(site: str) -> str:
    """The user of the bus that the workers of a site are."""
    return f"{subjects.WORKER}-{site}"


def asked_by(service: str) -> list[str]:
    """The subjects that a service asks, as `shared/contracts/asks.py` states them."""
    return sorted({one.subject.replace("{site}", "*") for one in ASKS[service].all})


def _owner(consumer: topology.Consumer) -> str:
    """The service that pulls from a durable consumer."""
    return {"schedulers": "scheduler"}.get(consumer.name, consumer.name.rpartition("-")[2])


def _consumers(service: str = "") -> Iterable[tuple[str, topology.Consumer]]:
    """The durable consumers that a service pulls from, each with its stream; of all services if none is named."""
    for stream in topology.STREAMS:
        for consumer in stream.consumers:
            if service in ("", _owner(consumer)):
                yield stream.name, consumer


def _jetstream(service: str) -> list[str]:
    """What a service asks of JetStream: streams and consumers made as the topology says; its own consumers pulled from.

    Nobody but `admin` deletes a stream; the scheduler alone makes and takes away the consumers of partitions, and purges, tasks
    only; the gateway has readers of EVENTS, one for each connection, reads DEAD and takes messages out of it.
    """
    api = [f"STREAM.{verb}.{stream.name}" for stream in topology.STREAMS for verb in ("CREATE", "UPDATE", "INFO")]
    api += [f"CONSUMER.INFO.{stream.name}.>" for stream in topology.STREAMS]
    api += [f"CONSUMER.CREATE.{stream}.{one.name}.{one.filter}" for stream, one in _consumers()]
    api += [f"CONSUMER.MSG.NEXT.{stream}.{one.name}" for stream, one in _consumers(service)]
    # Every service may subscribe to all events anyway.
    api.append(f"STREAM.MSG.GET.{topology.EVENTS.name}")
    match service:
        case "scheduler":
            api += [f"STREAM.PURGE.{topology.TASKS.name}"]
            api += [f"CONSUMER.{verb}.{topology.TASKS.name}.>" for verb in ("CREATE", "DELETE")]
        case "gateway":
            api += [f"CONSUMER.LIST.{stream.name}" for stream in topology.STREAMS]
            api += [f"CONSUMER.{verb}.{topology.EVENTS.name}.>" for verb in ("CREATE", "MSG.NEXT", "DELETE")]
            api += [f"STREAM.MSG.{verb}.{topology.DEAD.name}" for verb in ("GET", "DELETE")]
    return [f"$JS.API.{verb}" for verb in api] + [
        f"$JS.ACK.{stream}.{one.name}.>" for stream, one in _consumers(service)
    ]


def service(name: str) -> Permissions:
    """What one of the facility's own services may do."""
    publish = [
        *_jetstream(name),
        *asked_by(name),
        subjects.steps_of(name),
        subjects.schedule(name, ">"),
        *(subjects.event(noun, "*", ">") for noun in (*NOUNS[name], *SHARED_NOUNS)),
        *dict.fromkeys(subjects.dead(stream, "*") for stream, _ in _consumers(name)),
        *(inbox(user) for user in (*OF_FACILITY, "admin")),
        IMPORTED_REPLIES,
    ]
    subscribe = [inbox(name), "$SRV.>", f"hr.rpc.{name}.>", "hr.evt.>"]
    match name:
        case "scheduler":
            publish += ["hr.task.>", "hr.ctl.>"]
            subscribe += ["hr.beat.worker.>", "hr.ctl.scheduler.>"]
        case "gateway":
            subscribe += [subjects.watch("*", "*")]
            publish += ["$SRV.>"]
            # An operator's replay of a dead letter puts it back on the subject that it had.
            publish += [
                subject
                for stream in (topology.COMMANDS, topology.TASKS, topology.REPORTS)
                for subject in stream.subjects
            ]
            publish += ["hr.step.>"]
    return Permissions(tuple(publish), tuple(subscribe))


def site(name: str) -> Permissions:
    """The broker of a site: answers what is asked of its own site, and asks what a site may.

    It makes no streams and no consumers and pulls from none; its events are stored like a worker's reports.
    """
    return Permissions(
        (
            *asked_by(BROKER),
            *(subjects.event(noun, "*", ">") for noun in NOUNS[BROKER]),
            *(inbox(user) for user in ("gateway", "admin")),
        ),
        (
            inbox(site_user(name)),
            *(f"$SRV.*{end}" for end in ("", ".broker", ".broker.*")),
            subjects.OFFER_REQUEST,
            subjects.broker(name, "*"),
            subjects.rpc(BROKER, "health", "check"),
        ),
    )


def worker() -> Permissions:
    """A worker of the facility: pulls tasks, reports, beats, asks the questions that a worker has, and hands over what tasks create."""
    return Permissions(
        (
            "$JS.API.CONSUMER.MSG.NEXT.TASKS.>",
            "$JS.API.CONSUMER.INFO.TASKS.>",
            "$JS.ACK.TASKS.>",
            subjects.report("*"),
            subjects.beat("*"),
            *(one.subject for one in ENDPOINTS if one.needs in ROLES[WORKER]),
            subjects.dead("TASKS", subjects.WORKER),
        ),
        (inbox(subjects.WORKER), "hr.ctl.>"),
    )


def site_worker(site: str) -> Permissions:
    """A worker that a site runs, a pilot: as `worker`, for the tasks of the site's own partition."""
    consumer = topology.worker_consumer(site).name
    own = {
        "$JS.API.CONSUMER.MSG.NEXT.TASKS.>": f"$JS.API.CONSUMER.MSG.NEXT.TASKS.{consumer}",
        "$JS.API.CONSUMER.INFO.TASKS.>": f"$JS.API.CONSUMER.INFO.TASKS.{consumer}",
        "$JS.ACK.TASKS.>": f"$JS.ACK.TASKS.{consumer}.>",
        subjects.report("*"): subjects.report(site),
    }
    return Permissions(
        tuple(own.get(subject, subject) for subject in worker().publish), (inbox(pilot_user(site)), "hr.ctl.>")
    )


def person(name: str, *, events: bool = False) -> Permissions:
    """Somebody who publishes commands and watches what is theirs. `events`: may also subscribe to everybody's events, outcomes of commands included."""
    return Permissions(
        (f"hr.cmd.{name}.>", subjects.watch(name, "*")), (inbox(name), *(("hr.evt.>",) if events else ()))
    )


def users(
    people: Iterable[str] = ("alice",), *, sites: Iterable[str] = SITES, events: bool = False
) -> dict[str, Permissions]:
    """Every user of the bus. `admin` is for the operator and the `nats` tool. `events`: people may subscribe to all events."""
    return {
        **{name: service(name) for name in OF_FACILITY},
        **{site_user(name): site(name) for name in sites},
        **{pilot_user(name): site_worker(name) for name in sites},
        subjects.WORKER: worker(),
        "admin": EVERYTHING,
        **{name: person(name, events=events) for name in people},
    }
