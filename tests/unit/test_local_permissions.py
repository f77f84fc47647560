"""The bus's permissions, as data: each subject of ours is published by those whose it is."""

import pytest

from deploy.nats.permissions import NOUNS, OF_FACILITY, SHARED_NOUNS, SITES, asked_by, pilot_user, site_user, users
from shared.contracts import subjects
from shared.contracts.asks import ASKS
from shared.contracts.endpoints import ENDPOINTS
from shared.contracts.permissions import ROLES, WORKER
from shared.contracts.topology import CHAINED, COMMANDED
from tests.support.subject_patterns import covers

USERS = users(("alice", "bob"))
BROKERS = {site_user(site) for site in SITES}
WORKERS = {"worker", *(pilot_user(site) for site in SITES)}


# The gateway puts dead letters back for an operator: what is written to a stream that is consumed, it may write too.


def publishers(subject: str) -> set[str]:
    return {u for u, allowed in USERS.items() if any(covers(p, subject) for p in allowed.publish)} - {"admin"}


@pytest.mark.parametrize(
    ("subject", "who"),
    [
        ("hr.task.default.5.0192", {"scheduler", "gateway"}),
        ("hr.ctl.session.0192", {"scheduler"}),
        (subjects.HEARTBEAT_REQUEST, {"scheduler"}),
        (subjects.report("default"), {"worker", "gateway"}),
        (subjects.report("site-a"), {"worker", "gateway", "worker-site-a"}),
        ("$JS.ACK.TASKS.workers-site-a.1.1.1.1.0", {"worker", "worker-site-a"}),
        ("$JS.ACK.REPORTS.schedulers.1.1.1.1.0", {"scheduler"}),
        ("$JS.ACK.COMMANDS.commands-archiver.1.1.1.1.0", {"archiver"}),
        ("$JS.API.CONSUMER.MSG.NEXT.REPORTS.schedulers", {"scheduler"}),
        ("$JS.API.CONSUMER.MSG.NEXT.COMMANDS.commands-retriever", {"retriever"}),
        ("$JS.API.CONSUMER.MSG.NEXT.STEPS.steps-archiver", {"archiver"}),
        ("$JS.API.CONSUMER.CREATE.REPORTS.schedulers.hr.report.>", set(OF_FACILITY)),
        ("$JS.API.CONSUMER.CREATE.REPORTS.mine.hr.report.>", set()),
        ("$JS.API.CONSUMER.CREATE.COMMANDS.mine.hr.cmd.>", set()),
        ("$JS.API.CONSUMER.CREATE.TASKS.workers-x.hr.task.x.>", {"scheduler"}),
        ("$JS.API.CONSUMER.DURABLE.CREATE.EVENTS.mine", set()),
        (subjects.beat("w1"), WORKERS),
        ("hr.offer.request", {"gateway"}),
        ("hr.broker.site-a.accept", {"gateway"}),
        ("hr.cmd.bob.scheduler.session.create", {"bob", "gateway"}),
        ("hr.dead.reports.worker", {"scheduler"}),
        ("hr.dead.tasks.worker", WORKERS),
        ("hr.dead.commands.bob", set(COMMANDED)),
        ("hr.dead.steps.archiver", set(CHAINED)),
        ("$SRV.STATS", {"gateway"}),
        ("$JS.API.STREAM.UPDATE.TASKS", set(OF_FACILITY)),
        ("$JS.API.STREAM.UPDATE.OTHER", set()),
        ("$JS.API.STREAM.DELETE.TASKS", set()),
        ("$JS.API.STREAM.PURGE.TASKS", {"scheduler"}),
        ("$JS.API.STREAM.PURGE.EVENTS", set()),
        ("$JS.API.STREAM.MSG.DELETE.DEAD", {"gateway"}),
        ("$JS.API.STREAM.MSG.DELETE.TASKS", set()),
        ("$JS.API.CONSUMER.DELETE.TASKS.workers-default", {"scheduler"}),
        ("$JS.API.CONSUMER.DELETE.EVENTS.sse-1", {"gateway"}),
        ("$JS.API.STREAM.CREATE.EVENTS", set(OF_FACILITY)),
        ("$JS.API.CONSUMER.CREATE.EVENTS.sse-1.hr.evt.>", {"gateway"}),
        ("$JS.API.CONSUMER.MSG.NEXT.TASKS.workers-site-a", {"worker", "worker-site-a"}),
        ("hr.rpc.scheduler.task.confirm", WORKERS),
        ("hr.rpc.scheduler.task.spawn", WORKERS),
        ("hr.rpc.gateway.health.check", {"gateway"}),
        ("hr.rpc.gateway.site.grant", BROKERS),
        ("hr.rpc.scheduler.site.enter", BROKERS),
        ("hr.rpc.scheduler.session.create", {"gateway"} | BROKERS),
        ("hr.rpc.scheduler.session.delete", {"gateway"}),
        ("hr.rpc.scheduler.partition.create", {"gateway"}),
        ("hr.rpc.scheduler.result.complete", {"gateway", "retriever"}),
        ("hr.rpc.retriever.retrieval.create", {"gateway", "archiver"}),
        ("hr.rpc.archiver.dataset.locate", {"gateway"} | BROKERS),
        ("hr.cmd.scheduler.scheduler.session.create", {"gateway"}),
        ("_INBOX_scheduler.abc", set(OF_FACILITY)),
        ("_INBOX_gateway.abc", {*OF_FACILITY} | BROKERS),
        ("_R_.abc", set(OF_FACILITY)),
    ],
)
def test_who_publishes(subject: str, who: set[str]) -> None:
    assert publishers(subject) == who


@pytest.mark.parametrize("service", OF_FACILITY)
def test_events_and_steps_are_told_by_their_owner(service: str) -> None:
    for noun in NOUNS[service]:
        assert publishers(subjects.event(noun, "changed", "0192")) == {service}
    assert publishers(subjects.step(service, "archival", "move")) == {service, "gateway"}
    assert publishers(subjects.schedule(service, "0192")) == {service}
    for noun in SHARED_NOUNS:
        assert publishers(subjects.event(noun, "done", "1")) == set(OF_FACILITY)


def test_every_request_is_asked_by_those_alone_who_are_stated_to() -> None:
    """Whatever any service can be asked: who is not on the list cannot even send it."""
    for one in ENDPOINTS:
        subject = one.subject_at("site-a")
        stated = {name for name in OF_FACILITY if one in ASKS[name].all}
        stated |= BROKERS if one in ASKS["broker"].all else set()
        stated |= WORKERS if one.needs in ROLES[WORKER] else set()
        assert publishers(subject) == stated, one.name
        assert stated, f"nobody asks {one.name}"


@pytest.mark.parametrize("site", SITES)
def test_a_site_hears_what_is_asked_of_it_and_publishes_nothing_to_jetstream_but_events(site: str) -> None:
    mine = USERS[site_user(site)]
    for subject in (
        *(
            "hr.evt.session.created.1",
            "hr.cmd.alice.scheduler.session.create",
            "hr.report.default",
            "hr.watch.alice.session",
        ),
        *("hr.broker.site-z.accept", "hr.rpc.scheduler.session.get", "hr.task.default.5.0192", "hr.ctl.session.0192"),
        *(f"hr.broker.{other}.accept" for other in SITES if other != site),
    ):
        assert not any(covers(pattern, subject) for pattern in mine.subscribe), subject
    assert [
        s for s in mine.publish if s.startswith(("$", "hr.cmd", "hr.task", "hr.report", "hr.step", "hr.at", "hr.dead"))
    ] == []
    assert [s for s in mine.publish if s.startswith("hr.evt")] == ["hr.evt.offer.*.>"]
    assert set(asked_by("broker")) <= set(mine.publish)


def test_a_sites_events_are_told_by_sites() -> None:
    assert publishers(subjects.event("offer", "offered", "0192")) == BROKERS


def test_people_hear_events_only_where_the_operator_says_so() -> None:
    received = subjects.event("command", "done", "1")
    assert not any(covers(pattern, received) for pattern in USERS["alice"].subscribe)
    assert any(covers(pattern, received) for pattern in users(("alice",), events=True)["alice"].subscribe)


def test_no_noun_has_two_owners() -> None:
    nouns = [*SHARED_NOUNS, *(noun for owned in NOUNS.values() for noun in owned)]
    assert len(nouns) == len(set(nouns))


@pytest.mark.parametrize("reader", [user for user in USERS if user != "admin"])
def test_nobody_reads_anothers_replies_or_requests(reader: str) -> None:
    heard = USERS[reader].subscribe
    for other in USERS:
        if other != reader:
            assert not any(covers(pattern, f"_INBOX_{other}.abc.1") for pattern in heard)
            assert not any(covers(pattern, f"hr.rpc.{other}.health.check") for pattern in heard)
            assert not any(covers(pattern, f"hr.rpc.{other}.session.get") for pattern in heard)
