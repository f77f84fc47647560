"""Ports are kept while they are free, and replaced when somebody else has taken them."""

import socket
from pathlib import Path

from deploy.local.ports import PAIR_DISTANCE, choose, is_free


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
