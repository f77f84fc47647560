"""Ports are kept while they are free, and replaced when somebody else has taken them."""

import socket
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from deploy.local import ports
from deploy.local.ports import PAIR_DISTANCE, is_free


def choose(names: Sequence[str], kept: Path, *, paired: Mapping[str, str] | None = None) -> dict[str, int]:
    """For a stack that has ended since."""
    with ExitStack() as held:
        return ports.choose(names, kept, held, paired=paired)


def test_ports_are_the_same_in_the_next_run(tmp_path: Path) -> None:
    kept = tmp_path / "ports.json"
    first = choose(("nats", "postgres"), kept)
    assert choose(("nats", "postgres"), kept) == first
    assert len(set(first.values())) == 2


def test_a_port_taken_by_somebody_else_is_replaced(tmp_path: Path) -> None:
    kept = tmp_path / "ports.json"
    first = choose(("nats", "postgres"), kept)
    with socket.create_server(("127.0.0.1", first["nats"])):
        assert not is_free(first["nats"])
        second = choose(("nats", "postgres"), kept)
    assert second["nats"] != first["nats"]
    assert second["postgres"] == first["postgres"]


def test_a_damaged_file_is_no_reason_to_fail(tmp_path: Path) -> None:
    kept = tmp_path / "ports.json"
    kept.write_text('{"nats":')
    assert choose(("nats",), kept)["nats"] > 0


def test_a_pair_keeps_its_distance_and_both_are_free(tmp_path: Path) -> None:
    kept = tmp_path / "ports.json"
    first = choose(("admin", "nats"), kept, paired={"admin": "admin.grpc"})
    assert first["admin.grpc"] == first["admin"] + PAIR_DISTANCE < 32_768
    assert choose(("admin", "nats"), kept, paired={"admin": "admin.grpc"}) == first
    with socket.create_server(("127.0.0.1", first["admin.grpc"])):
        second = choose(("admin", "nats"), kept, paired={"admin": "admin.grpc"})
    assert second["admin"] != first["admin"]
    assert second["nats"] == first["nats"]


def test_stacks_that_start_at_once_have_ports_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No server has taken one yet, and chance has it that all try the same."""
    made: list[int] = []
    with ExitStack() as held:
        for n in range(3):
            tries = iter(range(22_000, 32_000))
            monkeypatch.setattr(ports.random, "choice", lambda within, tries=tries: next(tries))
            made += ports.choose(("nats", "postgres"), tmp_path / str(n), held).values()
    assert len(set(made)) == 6
