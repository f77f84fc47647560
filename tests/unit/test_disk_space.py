"""The room on the home's disk: when it counts as full, what is said, and who is started anew when there is room again."""

from pathlib import Path
from typing import Any

import pytest

from deploy.local import disk_space
from deploy.local.disk_space import MIB, DiskSpace
from deploy.local.process import Event


class Server:
    def __init__(self, stack: "FakeStack", name: str, *, after_full: str = "") -> None:
        self._stack, self.name, self._after_full = stack, name, after_full
        self.harm = ""
        self.log = Path(f"{name}.log")

    async def needs_restart(self, was_full: bool) -> str:
        return self.harm or (self._after_full if was_full else "")

    async def ready(self) -> None:
        self._stack.did.append(f"ask {self.name}")

    async def restart(self, reason: str) -> None:
        self.harm = ""
        self._stack.did.append(f"restart {self.name}: {reason}")

    def start_now(self) -> None:
        self._stack.did.append(f"start {self.name}")


class FakeStack:
    """Servers that are their own processes."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.events: list[Event] = []
        self.home = type("Home", (), {"path": Path("home")})
        self.servers = {"nats": Server(self, "nats"), "s3": Server(self, "s3", after_full="index")}
        self.processes = self.servers

    def on_event(self, event: Event) -> None:
        self.events.append(event)

    def update_address(self) -> None:
        self.did.append("note address")


@pytest.fixture
def stack() -> FakeStack:
    return FakeStack()


@pytest.fixture
def look(stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Looks once, with so many MiB free."""
    fake: Any = stack
    watch = DiskSpace(fake, low=10 * MIB, enough=20 * MIB)

    async def look(mib: int) -> None:
        monkeypatch.setattr(disk_space, "free", lambda path: mib * MIB)
        await watch.run_once()

    return look


async def test_with_room_nothing_is_said_or_done(stack: FakeStack, look: Any) -> None:
    await look(10)
    assert (stack.events, stack.did) == ([], [])


async def test_full_is_said_once_and_nobody_is_started_anew_before_there_is_room(stack: FakeStack, look: Any) -> None:
    stack.servers["nats"].harm = "a write failed"
    for mib in (9, 0, 5, 15, 19):
        await look(mib)
    assert [event.state for event in stack.events] == ["full"]
    assert "9 MiB free in home" in stack.events[0].detail
    assert "goes on when 20 MiB are free" in stack.events[0].detail
    assert stack.did == []


async def test_when_there_is_room_again_who_is_harmed_is_started_anew(stack: FakeStack, look: Any) -> None:
    await look(9)
    await look(20)
    await look(20)
    assert [event.state for event in stack.events] == ["full", "has room", "well again"]
    assert stack.did == ["restart s3: index", "start nats", "start s3", "ask nats", "ask s3", "note address"]


async def test_a_harm_without_a_full_disk_that_was_seen_is_mended_too(stack: FakeStack, look: Any) -> None:
    stack.servers["nats"].harm = "a write failed"
    await look(100)
    await look(100)
    assert [event.state for event in stack.events] == ["well again"]
    assert stack.did[0] == "restart nats: a write failed"
    assert stack.did.count("note address") == 1


async def test_a_server_that_does_not_come_is_named_with_its_log(
    stack: FakeStack, look: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away() -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr(disk_space, "REPAIR_LIMIT", 0.05)
    monkeypatch.setattr(stack.servers["s3"], "ready", away)
    await look(9)
    await look(20)
    assert "not ready after 0.05 s: s3; see s3.log" in stack.events[-1].detail
