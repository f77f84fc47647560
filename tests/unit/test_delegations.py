"""A delegation is worth what its issuer may sign, for the operation and the time that it names, and nothing else."""

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deploy import keys
from shared.bus.delegations import LONGEST, MOST_KEPT, NOBODY, Delegations, Who, decode, encode
from shared.bus.signing_keys import PublicKeys, read_private
from shared.contracts.asks import ASKS, FOR_USERS
from shared.contracts.delegation import CLOCK_SKEW, VALID, Delegation
from shared.contracts.errors import Internal, Unauthenticated
from shared.contracts.ids import uuid7
from shared.runtime.startup import StartFailed

CREATE, GET = "hr.rpc.scheduler.session.create", "hr.rpc.scheduler.session.get"
COMPLETE = "hr.rpc.scheduler.result.complete"
ANN: Who = ("ann", ("user",), ("physics",), None)
ISSUERS = ("gateway", "scheduler", "archiver", "retriever", "broker.site-a", "broker.site-b")
NOW = 1_800_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class Facility:
    """Every issuer's own delegations, and one clock."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, Clock()
        keys.make(folder, ISSUERS)
        self.receiver = Delegations("", None, PublicKeys(folder / keys.PUBLIC), self.clock)

    def of(self, issuer: str) -> Delegations:
        name, private = read_private(keys.private_file(self.folder, issuer))
        return Delegations(name, private.sign, None, self.clock)

    def signed(self, issuer: str, **fields: Any) -> str:
        """What `issuer` signs; `by` may be somebody else."""
        whole = {"by": issuer, "user": "ann", "operations": (CREATE,), "expires": int(NOW) + VALID, **fields}
        return self.of(issuer).sign(Delegation(**whole))

    def refusal(self, header: str, operation: str = CREATE) -> str:
        with pytest.raises(Unauthenticated) as refused:
            self.receiver.check(header, operation)
        assert refused.value.field == "Hr-Delegation"
        return refused.value.message


@pytest.fixture
def facility(tmp_path: Path) -> Facility:
    return Facility(tmp_path)


def test_what_the_gateway_signs_is_believed(facility: Facility) -> None:
    who: Who = ("ann", ("reader", "operator"), ("physics", "staff"), ("compute:read",))
    found = facility.receiver.check(facility.of("gateway").header(who, GET), GET)
    assert found == Delegation("gateway", "ann", (GET,), int(NOW) + VALID, who[1], who[2], who[3])
    itself = facility.receiver.check(facility.of("gateway").header(NOBODY, GET), GET)
    assert (itself.user, itself.roles, itself.by) == ("", (), "gateway")


def test_it_is_good_for_its_operation_alone_and_until_it_ends(facility: Facility) -> None:
    header = facility.of("gateway").header(ANN, CREATE)
    assert "is not for hr.rpc.scheduler.session.get" in facility.refusal(header, GET)
    facility.receiver.check(header, CREATE)
    assert "is not for" in facility.refusal(header, GET), "also when it is known"
    facility.clock.now = NOW + VALID - 0.5
    facility.receiver.check(header, CREATE)
    facility.clock.now = NOW + VALID
    for _ in range(2):
        assert facility.refusal(header) == "the delegation has expired"


def test_it_is_signed_again_when_half_of_its_time_is_over(facility: Facility) -> None:
    gateway = facility.of("gateway")
    first = gateway.header(ANN, CREATE)
    facility.clock.now = NOW + VALID / 2 - 1
    assert gateway.header(ANN, CREATE) is first
    facility.clock.now = NOW + VALID / 2
    second = gateway.header(ANN, CREATE)
    assert second != first
    assert facility.receiver.check(second, CREATE).expires == NOW + VALID * 1.5


@pytest.mark.parametrize(
    "other",
    [("bob", ("user",), ("physics",), None), ("ann", (), ("physics",), None), ("ann", ("user",), (), None), NOBODY],
    ids=["user", "roles", "groups", "nobody"],
)
def test_one_asker_is_never_given_anothers(facility: Facility, other: Who) -> None:
    gateway = facility.of("gateway")
    for who in (ANN, other, ANN):
        found = facility.receiver.check(gateway.header(who, CREATE), CREATE)
        assert (found.user, found.roles, found.groups, found.scope) == who


def test_a_changed_letter_is_seen(facility: Facility) -> None:
    header = facility.of("gateway").header(ANN, CREATE)
    for place in range(0, len(header), 7):
        letter = "A" if header[place] != "A" else "B"
        facility.refusal(header[:place] + letter + header[place + 1 :])
    payload, _, signature = header.partition(".")
    other = encode(msgspec.json.encode(msgspec.json.decode(decode(payload), type=dict[str, Any]) | {"user": "admin"}))
    assert facility.refusal(f"{other}.{signature}") == "the delegation is not signed by 'gateway'"


@pytest.mark.parametrize(
    "header",
    ["", ".", "a", "a.b", "..", "a.b.c", "é.é", "AA==.AA==", "e30.e30", "bnVsbA.AA", "A" * LONGEST + ".A", "e30.\n"],
)
def test_what_is_no_delegation_is_malformed(facility: Facility, header: str) -> None:
    assert facility.refusal(header) == "the delegation is malformed"


def test_another_spelling_of_the_same_signature_is_none(facility: Facility) -> None:
    """The last letter of 64 bytes has bits to spare: a copy of a header would be another key of the cache."""
    payload, _, signature = facility.of("gateway").header(ANN, CREATE).partition(".")
    spellings = [
        signature[:-1] + letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    ]
    same = [one for one in spellings if one != signature]
    assert {facility.refusal(f"{payload}.{one}") for one in same} <= {
        "the delegation is malformed",
        "the delegation is not signed by 'gateway'",
    }


FORGED = [
    *(("archiver", {"by": "gateway"}), ("broker.site-a", {"by": "gateway"}), ("broker.site-a", {"by": "retriever"})),
    *(("broker.site-a", {"by": "broker.site-b", "user": "", "site": "site-b"}), ("gateway", {"by": "nobody"})),
    *(("gateway", {"by": ""}), ("scheduler", {"by": "admin"}), ("archiver", {"by": "scheduler", "user": ""})),
]


@pytest.mark.parametrize(("issuer", "fields"), FORGED, ids=[f"{n}-{issuer}" for n, (issuer, _) in enumerate(FORGED)])
def test_nobody_signs_as_somebody_else(facility: Facility, issuer: str, fields: dict[str, Any]) -> None:
    assert facility.refusal(facility.signed(issuer, **fields)) == f"the delegation is not signed by {fields['by']!r}"


UNLAWFUL: dict[str, tuple[str, dict[str, Any], str]] = {
    "archiver-session": ("archiver", {}, f"archiver may not ask {CREATE} for users"),
    "scheduler-anything": ("scheduler", {}, f"scheduler may not ask {CREATE} for users"),
    "one-of-two": ("retriever", {"operations": (COMPLETE, CREATE)}, f"retriever may not ask {CREATE} for users"),
    "wildcard": ("retriever", {"operations": ("hr.rpc.scheduler.>",)}, "may not ask hr.rpc.scheduler.> for users"),
    "itself": ("retriever", {"operations": (COMPLETE,), "user": ""}, "may not ask"),
    "admin": ("retriever", {"operations": (COMPLETE,), "roles": ("admin",)}, "may not make ann an admin"),
    "long": ("retriever", {"operations": (COMPLETE,), "expires": int(NOW) + 3600}, "may sign for 60 s at most"),
    "site": ("retriever", {"operations": (COMPLETE,), "site": "site-a"}, "may not sign for a site or an offer"),
    "offer": ("retriever", {"operations": (COMPLETE,), "offer": uuid7()}, "may not sign for a site or an offer"),
    "broker-user": ("broker.site-a", {"site": "site-a"}, f"broker.site-a may not ask {CREATE} for users"),
    "broker-admin": ("broker.site-a", {"user": "admin", "site": "site-a"}, "for users"),
    "broker-itself": ("broker.site-a", {"user": "", "site": "site-a"}, f"may not ask {CREATE} for itself"),
}


@pytest.mark.parametrize("case", UNLAWFUL)
def test_an_issuer_signs_only_what_is_on_its_list(facility: Facility, case: str) -> None:
    issuer, fields, why = UNLAWFUL[case]
    header = facility.signed(issuer, **fields)
    for _ in range(2):
        assert why in facility.refusal(header, fields.get("operations", (CREATE,))[0])


def test_no_site_signs_for_any_user(facility: Facility) -> None:
    assert FOR_USERS["broker"] == frozenset()
    for asked in ASKS["gateway"].all:
        for user in ("ann", "admin"):
            header = facility.signed("broker.site-a", user=user, operations=(asked.subject,), site="site-a")
            assert "for users" in facility.refusal(header, asked.subject)


@pytest.mark.parametrize("service", sorted(FOR_USERS))
def test_a_service_signs_for_users_what_it_is_stated_to_ask(facility: Facility, service: str) -> None:
    for subject in FOR_USERS[service]:
        found = facility.receiver.check(facility.of(service).header(ANN, subject), subject)
        assert (found.by, found.user) == (service, "ann")


def test_a_service_may_be_late_or_early_by_the_clocks_difference(facility: Facility) -> None:
    ahead = facility.signed("retriever", operations=(COMPLETE,), expires=int(NOW) + VALID + CLOCK_SKEW)
    facility.receiver.check(ahead, COMPLETE)
    facility.refusal(facility.signed("retriever", operations=(COMPLETE,), expires=int(NOW) - 1), COMPLETE)


def test_the_admins_own_work_goes_on(facility: Facility) -> None:
    header = facility.signed("retriever", operations=(COMPLETE,), user="admin", roles=("admin",))
    assert facility.receiver.check(header, COMPLETE).roles == ("admin",)


def test_a_key_is_changed_while_everything_runs(facility: Facility) -> None:
    old = facility.signed("gateway")
    facility.receiver.check(old, CREATE)
    keys.rotate(facility.folder, "gateway")
    new = facility.signed("gateway", user="bob")
    assert facility.receiver.check(new, CREATE).user == "bob", "the receiver has read the new key"
    facility.receiver.check(old, CREATE)
    keys.retire(facility.folder, "gateway")
    newest = facility.signed("gateway", user="carol")
    assert facility.receiver.check(newest, CREATE).user == "carol"
    assert "is not signed by" in facility.refusal(old), "though it was known"


def test_who_has_no_keys_signs_nothing_and_believes_nobody(facility: Facility) -> None:
    with pytest.raises(Internal, match="HEADRACE_DELEGATION_KEY_FILE"):
        Delegations().header(ANN, CREATE)
    with pytest.raises(Unauthenticated, match="HEADRACE_ISSUERS_FILE"):
        Delegations().check(facility.of("gateway").header(ANN, CREATE), CREATE)


def test_memory_has_an_end(facility: Facility) -> None:
    gateway = facility.of("gateway")
    gateway._signed = {((str(n), (), (), None), ""): (0.0, "") for n in range(MOST_KEPT)}
    gateway.header(ANN, CREATE)
    assert len(gateway._signed) == 1
    facility.receiver._checked = {str(n): Delegation("", "", (), 0) for n in range(MOST_KEPT)}
    facility.receiver.check(gateway.header(ANN, CREATE), CREATE)
    assert len(facility.receiver._checked) == 1


def test_private_keys_are_their_owners(facility: Facility) -> None:
    for issuer in ISSUERS:
        assert keys.private_file(facility.folder, issuer).stat().st_mode & 0o777 == 0o600
    file = keys.private_file(facility.folder, "archiver")
    text = file.read_bytes()
    keys.make(facility.folder, ISSUERS)
    assert file.read_bytes() == text, "what is there stays"
    file.chmod(0o640)
    with pytest.raises(StartFailed, match="chmod 600"):
        read_private(file)


@pytest.mark.parametrize(
    "text", ["", "{}", '{"issuer": "a", "private": "AA"}', "null", '{"issuer": "a", "private": "é"}']
)
def test_a_bad_key_file_ends_the_start(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.key"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(StartFailed, match=str(file)):
        Delegations.load(str(file), "")
    with pytest.raises(StartFailed, match=str(tmp_path / "none")):
        Delegations.load("", str(tmp_path / "none"))


def test_public_keys_that_cannot_be_read_change_nothing(facility: Facility) -> None:
    file = facility.folder / keys.PUBLIC
    file.write_text('{"gateway": ["short"]}')
    os.utime(file, (0, 0))
    facility.refusal(facility.signed("archiver", by="gateway"))
    facility.receiver.check(facility.of("gateway").header(ANN, CREATE), CREATE)


@pytest.mark.parametrize("name", ["gateway", "retriever", "broker.site-a", "broker.x_1"])
def test_who_may_have_a_key(name: str) -> None:
    assert keys.is_issuer(name)


@pytest.mark.parametrize(
    "name", ["", "broker", "broker.", "broker.a.b", "broker.../x", "alice", "admin", "worker", "gateway.x"]
)
def test_who_may_not(name: str) -> None:
    assert not keys.is_issuer(name)


def test_the_command_makes_rotates_and_retires(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "keys"

    def run(*arguments: str) -> dict[str, list[str]]:
        monkeypatch.setattr("sys.argv", ["keys", arguments[0], str(folder), *arguments[1:]])
        assert keys.main() == 0
        return msgspec.json.decode((folder / keys.PUBLIC).read_bytes(), type=dict[str, list[str]])

    made = run("make", "archiver", "broker.site-a")
    assert capsys.readouterr().out.split() == [str(folder / "archiver.key"), str(folder / "broker.site-a.key")]
    assert folder.stat().st_mode & 0o777 == 0o700
    rotated = run("rotate", "archiver")
    assert rotated["archiver"][1:] == made["archiver"], "the one before stays good"
    assert run("retire", "archiver") == made | {"archiver": rotated["archiver"][:1]}
    for wrong in (("make", "alice"), ("rotate", "gateway"), ("retire", "nobody"), ("make",)):
        with pytest.raises(SystemExit) as ended:
            run(*wrong)
        assert ended.value.code == 2
