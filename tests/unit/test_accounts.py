"""Who imports what on the bus, as data."""

from typing import get_type_hints

import msgspec
import pytest

from deploy.nats.accounts import EXPORTS, PULLS, WATCHES, accounts, is_person
from deploy.nats.permissions import users
from shared.bus.pull import Pull
from shared.contracts import subjects
from shared.contracts.endpoints import ENDPOINTS
from shared.contracts.topology import CHAINED, COMMANDED, STEPS, STREAMS, TASKS, worker_consumer
from shared.contracts.watch import WatchSession
from tests.support.subject_patterns import covers

PEOPLE = ("alice", "bob")
MADE = accounts(PEOPLE, {name: name for name in (*users(PEOPLE), "system")})


@pytest.mark.parametrize("name", ["PERSON_alice", "PERSON_bob", "WORKERS", "SITE_site-a", "SITE_local"])
def test_what_an_account_imports_is_exported_in_the_same_way(name: str) -> None:
    for imported in MADE[name]["imports"]:
        [(kind, source)] = imported.items()
        exported = [each[kind] for each in MADE["HEADRACE"]["exports"] if kind in each]
        assert source["account"] == "HEADRACE"
        assert any(covers(pattern, source["subject"]) for pattern in exported), source
        for user in MADE[name]["users"]:
            allowed = user["permissions"]["publish" if kind == "service" else "subscribe"]["allow"]
            assert source["subject"] in allowed, "the permissions are the second wall"


def test_a_site_has_an_account_of_its_own_without_jetstream() -> None:
    made = MADE["SITE_site-a"]
    assert "jetstream" not in made
    assert [user["user"] for user in made["users"]] == ["broker-site-a"]
    assert "broker" not in {user["user"] for account in MADE.values() for user in account.get("users", ())}


def test_a_person_imports_nothing_but_the_own_commands_and_watches() -> None:
    assert [source["service"]["subject"] for source in MADE["PERSON_bob"]["imports"]] == [
        "hr.cmd.bob.>",
        "hr.watch.bob.*",
    ]
    assert "jetstream" not in MADE["PERSON_bob"]
    assert [name for name in MADE if any(user["user"] == "bob" for user in MADE[name].get("users", ()))] == [
        "PERSON_bob"
    ]


def test_another_person_changes_nothing_of_the_others() -> None:
    fewer = accounts(("alice",), {name: name for name in (*users(PEOPLE), "system")})
    assert {name: made for name, made in MADE.items() if name != "PERSON_bob"} == fewer


def test_answers_find_their_way_for_longer_than_anybody_waits() -> None:
    wait = next(meta for meta in get_type_hints(WatchSession, include_extras=True)["wait"].__metadata__ if meta.le)
    assert wait.le + 60 <= WATCHES.seconds
    expires = Pull.__init__.__kwdefaults__["expires"]
    assert expires + 10 <= PULLS.seconds
    assert PULLS.answers == "stream"
    assert all(each.seconds >= 60 for each in EXPORTS)


@pytest.mark.parametrize("name", ["bob", "a", "B0-b_b", "x" * 63])
def test_names_of_people(name: str) -> None:
    assert is_person(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a.b",
        "*",
        ">",
        "a b",
        "-a",
        "x" * 64,
        "é",
        "a\n",
        *subjects.SERVICES,
        "worker",
        "admin",
        "system",
        "broker-x",
        "worker-x",
    ],
)
def test_names_that_nobody_may_have(name: str) -> None:
    assert not is_person(name)


def test_commands_go_to_the_services_that_have_some() -> None:
    assert {endpoint.service for endpoint in ENDPOINTS if endpoint.durable} == set(COMMANDED)


def test_no_work_queue_has_a_subject_that_nobody_takes() -> None:
    for stream in STREAMS:
        if stream.retention != "workqueue" or stream is TASKS:
            continue
        taken = [consumer.filter for consumer in stream.consumers]
        left = [subject for subject in stream.subjects if subject not in taken]
        assert left == ([subjects.schedule(service, ">") for service in CHAINED] if stream is STEPS else [])
    assert covers(worker_consumer("gpu").filter, "hr.task.gpu.5.0192")


@pytest.mark.parametrize(
    ("subject", "source"),
    [
        ("hr.cmd.alice.scheduler.session.create", "alice"),
        ("hr.step.archiver.archival.move", "archiver"),
        ("hr.at.archiver.0192", "archiver"),
        ("hr.task.default.5.0192", "worker"),
        ("hr.report.any-thing", "worker"),
        ("hr.cmd.*.x", "unknown"),
        ("hr.cmd.\ufffd.x", "unknown"),
    ],
)
def test_whose_a_dead_letter_is(subject: str, source: str) -> None:
    assert subjects.dead_source(subject) == source


@pytest.mark.parametrize(
    ("subject", "allowed"),
    [
        ("_INBOX.a", True),
        ("_INBOX_worker.a.1", True),
        ("_R_.a.b", True),
        ("", False),
        ("hr.evt.a.b.c", False),
        ("_INBOXES", False),
    ],
)
def test_where_an_answer_may_go(subject: str, allowed: bool) -> None:
    assert subjects.is_reply(subject) is allowed


def test_the_configuration_is_json() -> None:
    assert msgspec.json.decode(msgspec.json.encode(MADE)) == MADE
