"""What a site offers, given what is asked, what is free and where the data are; and which offer is best."""

from typing import Any
from uuid import UUID

import msgspec
import pytest

from services.broker.offers.decide import Free, Lost, No, Place, Terms, decide, size
from services.broker.offers.machine import ENDS, MACHINE, options
from services.gateway.execution.ranking import messages, rank
from shared.contracts.catalogue import Located
from shared.contracts.errors import Conflict
from shared.contracts.execution import (
    Between,
    Compute,
    ExecutionRequest,
    FunctionExecutable,
    Offer,
    OfferReply,
    Phase,
    PhaseUpdate,
    SessionMeta,
)

SITE = Place("site-a", 4, 8, frozenset({"lts-a"}), 10e6, 300)
ALL = Free(4, 8)
ASTROPY = Located("headrace/astropy", 1_887_957, ["lts-a"])
ELSEWHERE = Located("headrace/big", 25_000_000, ["lts-b"])


def wanting(**compute: Between) -> ExecutionRequest:
    return ExecutionRequest(compute=Compute(**compute))


def test_data_that_are_here_are_said_to_be() -> None:
    assert decide(SITE, ALL, wanting(), [ASTROPY]) == Terms(
        1, 1, 4, 0.0, ["holds all 1.9 MB of headrace/astropy", "4 of 4 cores free"]
    )


def test_a_function_that_no_live_worker_of_the_site_has_is_not_offered() -> None:
    asked = ExecutionRequest(executable=FunctionExecutable(function="echo"))
    assert decide(SITE, ALL, asked, [], ["other"]) == No("no live worker of the site has function 'echo'")
    assert decide(SITE, ALL, asked, [], None) == No("which functions its workers have is not known now")
    assert isinstance(decide(SITE, ALL, asked, [], ["echo"]), Terms)


def test_data_from_elsewhere_take_their_time() -> None:
    terms = decide(SITE, ALL, wanting(), [ASTROPY, ELSEWHERE])
    assert isinstance(terms, Terms)
    assert terms.prepare_seconds == 2.5
    assert terms.reasons[1] == "would move 25.0 MB of headrace/big at 10 MB/s: 2.5 s"


def test_what_is_damaged_is_not_offered() -> None:
    """Also where the storage is near, and the other datasets are whole."""
    damaged = Located("a/b", 1000, [], damaged=2)
    answer = decide(SITE, ALL, wanting(), [ASTROPY, damaged])
    assert answer == No("a/b is damaged on long-term storage: 2 datablocks; archive it again from its source")


def test_at_least_the_minimum_and_never_more_than_the_maximum() -> None:
    assert [
        (terms.cores, terms.memory)
        for free in (ALL, Free(3, 8), Free(2, 2))
        if isinstance(terms := decide(SITE, free, wanting(cores=Between(2, 3), memory=Between(2, 16)), []), Terms)
    ] == [(3, 8), (3, 8), (2, 2)]


@pytest.mark.parametrize(
    ("free", "request_", "data", "reason"),
    [
        (ALL, wanting(cores=Between(5)), [], "5 cores requested, and there are 4"),
        (Free(1, 8), wanting(cores=Between(2)), [], "2 cores requested, and 1 of 4 are free"),
        (Free(0, 8), wanting(), [], "1 core requested, and 0 of 4 are free"),
        (ALL, wanting(memory=Between(9)), [], "9 GiB requested, and there are 8"),
        (ALL, wanting(), [ASTROPY, Lost("cannot tell where x is")], "cannot tell where x is"),
        (ALL, wanting(), [Located("p", 1, [])], "no long-term storage holds all of p"),
    ],
)
def test_no_says_why(free: Free, request_: ExecutionRequest, data: Any, reason: str) -> None:
    assert decide(SITE, free, request_, data) == No(reason)


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_887_957, "1.9 MB"), (3 * 10**15, "3000.0 TB")]
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text


def test_what_cannot_be_is_refused_where_it_stands() -> None:
    for body, place in (
        (b'{"compute": {"cores": {"min": 2, "max": 1}}}', "$.compute.cores"),
        (b'{"compute": {"cores": {"min": 0}}}', "$.compute.cores.min"),
        (b'{"data": [{"kind": "urn:headrace:kind:dataset", "pid": "../x"}]}', "$.data[0].pid"),
        (b'{"schedule": {"requested": {"duration": "two hours"}}}', "$.schedule.requested.duration"),
    ):
        with pytest.raises(msgspec.ValidationError) as raised:
            msgspec.json.decode(body, type=ExecutionRequest)
        assert str(raised.value).endswith(f"`{place}`")


# -- phases


def test_every_phase_can_be_reached_and_ends_stay_ended() -> None:
    reached = {MACHINE.initial}
    for _ in Phase:
        reached |= {target for sources, target in MACHINE.moves.values() if sources & reached}
    assert reached == set(Phase)
    assert not any(sources & ENDS for sources, _ in MACHINE.moves.values())


def test_an_illegal_move_names_both_phases() -> None:
    with pytest.raises(Conflict, match=r"offer 7 is EXPIRED; accept would make it ACCEPTED"):
        MACHINE.check("accept", Phase.EXPIRED, 7)


def test_a_client_is_told_what_it_may_do() -> None:
    assert options(Phase.OFFERED) == ["ACCEPTED", "REJECTED", "CANCELLED"]
    assert options(Phase.RUNNING) == ["CANCELLED"]
    assert options(Phase.COMPLETED) == options(Phase.RELEASING) == []
    known = msgspec.json.schema(PhaseUpdate)["$defs"]["PhaseUpdate"]["properties"]["value"]["enum"]
    assert {phase for one in Phase for phase in options(one)} == set(known)


# -- which is best


def offer(site: str, prepare: float = 0, starts: float = 0, free: int = 1) -> Offer:
    return Offer(
        meta=SessionMeta(UUID(int=1), "", "", [], []),
        phase="OFFERED",
        expires="",
        compute=Compute(),
        data=[],
        site=site,
        partition=site,
        offerset=UUID(int=2),
        owner="ann",
        reasons=[],
        prepare_seconds=prepare,
        starts_in_seconds=starts,
        cores=1,
        memory=1,
        cores_free=free,
        version=1,
    )


def test_data_come_first_then_the_start_then_what_is_free() -> None:
    best = [
        offer("here", 0, 60),
        offer("soon", 1, 1, free=9),
        offer("roomy", 2, 2, free=8),
        offer("a-full", 2, 2, free=1),
        offer("b-full", 2, 2, free=1),
    ]
    assert [one.site for one in rank(reversed(best))] == [one.site for one in best]


def test_every_site_without_an_offer_has_a_message() -> None:
    answers = [OfferReply("a", "YES", offer("a")), OfferReply("b", "NO", reason="full")]
    said = messages(answers, {"a", "b", "c"}, "now", 2.0)
    assert [(one.level, one.message) for one in said] == [
        ("INFO", "b: full"),
        ("WARN", "c: no answer within 2 s"),
    ]
    assert [one.message for one in messages([], [], "now", 2.0)] == ["no site's broker is there"]
