"""The bus's permissions, as data: each subject of ours is published by those whose it is."""

import pytest

from deploy.nats.permissions import NOUNS, SHARED_NOUNS, users
from shared.contracts import subjects
from shared.contracts.subjects import SERVICES
from shared.contracts.topology import CHAINED, COMMANDED
from tests.support.subject_patterns import covers

USERS = users(("alice", "bob"))


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
        (subjects.beat("w1"), {"worker"}),
        ("hr.offer.request", {"gateway"}),
        ("hr.broker.site-a.accept", {"gateway"}),
        ("hr.cmd.bob.scheduler.session.create", {"bob", "gateway"}),
        ("hr.dead.reports.worker", {"scheduler"}),
        ("hr.dead.tasks.worker", {"worker"}),
        ("hr.dead.commands.bob", set(COMMANDED)),
        ("hr.dead.steps.archiver", set(CHAINED)),
        ("$SRV.STATS", {"gateway"}),
        ("$JS.API.STREAM.UPDATE.TASKS", set(SERVICES)),
        ("$JS.API.STREAM.UPDATE.OTHER", set()),
        ("$JS.API.STREAM.DELETE.TASKS", set()),
        ("$JS.API.STREAM.PURGE.TASKS", {"scheduler"}),
        ("$JS.API.STREAM.PURGE.EVENTS", set()),
        ("$JS.API.STREAM.MSG.DELETE.DEAD", {"gateway"}),
        ("$JS.API.STREAM.MSG.DELETE.TASKS", set()),
        ("$JS.API.CONSUMER.DELETE.TASKS.workers-default", {"scheduler"}),
        ("$JS.API.CONSUMER.DELETE.EVENTS.sse-1", {"gateway"}),
        ("hr.rpc.scheduler.task.confirm", {*SERVICES, "worker"}),
        ("hr.rpc.gateway.health.check", {"gateway", "broker"}),
    ],
)
def test_who_publishes(subject: str, who: set[str]) -> None:
    assert publishers(subject) == who


@pytest.mark.parametrize("service", SERVICES)
def test_events_and_steps_are_told_by_their_owner(service: str) -> None:
    for noun in NOUNS[service]:
        assert publishers(subjects.event(noun, "changed", "0192")) == {service}
    assert publishers(subjects.step(service, "archival", "move")) == {service, "gateway"}
    assert publishers(subjects.schedule(service, "0192")) == {service}
    for noun in SHARED_NOUNS:
        assert publishers(subjects.event(noun, "done", "1")) == set(SERVICES)


def test_people_hear_events_only_where_the_operator_says_so() -> None:
    told = subjects.event("command", "done", "1")
    assert not any(covers(pattern, told) for pattern in USERS["alice"].subscribe)
    assert any(covers(pattern, told) for pattern in users(("alice",), events=True)["alice"].subscribe)


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
