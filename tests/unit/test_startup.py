"""Waiting for servers at start: what is said, how often, and for how long."""

import asyncio
import signal
import socket
from itertools import pairwise

import pytest
from structlog.testing import capture_logs

from shared.bus.client import Bus
from shared.runtime import lifecycle, startup
from shared.runtime.startup import StartFailed, address, connect_patiently, reason


def test_it_says_at_once_what_is_wrong_then_seldom_and_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    async def connect() -> None:
        raise ConnectionRefusedError if now < 60 else TimeoutError

    async def wait() -> None:
        monkeypatch.setattr(startup.asyncio, "sleep", sleep)
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)
        await connect_patiently("NATS", "nats://me:secret@127.0.0.1:1", connect, on=(OSError, TimeoutError), user="me")

    # In a loop of its own: in the tests' one, whatever else runs there would never wait any more.
    with capture_logs() as logs, pytest.raises(StartFailed) as failed:
        asyncio.run(wait())
    monkeypatch.undo()
    assert 120 <= now < 123
    assert str(failed.value) == "NATS at 127.0.0.1:1: no answer; gave up after 120 s"
    assert [line["event"] for line in logs] == ["server.awaited"] * len(logs)
    assert (logs[0]["seconds"], logs[0]["user"], "refused" in logs[0]["why"]) == (0, "me", True)
    refused = [line["seconds"] for line in logs if "refused" in line["why"]]
    gaps = [later - earlier for earlier, later in pairwise(refused)]
    assert gaps == sorted(gaps)
    assert len(refused) < 8
    assert next(line["seconds"] for line in logs if "no answer" in line["why"]) <= 63, "at once when it changes"
    assert "secret" not in str(logs)


async def test_other_errors_are_raised_at_once_and_success_is_returned() -> None:
    async def broken() -> None:
        raise KeyError("x")

    async def fine() -> int:
        return 7

    with pytest.raises(KeyError):
        await connect_patiently("S", "s://h", broken, on=(OSError,))
    assert await connect_patiently("S", "s://h", fine, on=(OSError,)) == 7


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (socket.gaierror(-2, "x"), "there is no such host"),
        (ConnectionRefusedError(111, "x"), "nobody listens there (connection refused)"),
        (TimeoutError(), "no answer"),
        (OSError("odd"), "OSError: odd"),
        (EOFError(), "EOFError"),
    ],
)
def test_reasons_are_for_people(error: Exception, said: str) -> None:
    assert reason(error) == said


def test_an_address_has_no_password() -> None:
    assert address("postgresql://me:secret@db:5432/headrace") == "db:5432/headrace"


_drained: list[bool] = []


def test_a_signal_ends_what_waits_for_a_server() -> None:
    async def main(stop: asyncio.Event) -> None:
        signal.raise_signal(signal.SIGTERM)
        await asyncio.Event().wait()

    asyncio.run(asyncio.wait_for(lifecycle.supervise(main), 10))


def test_a_signal_lets_what_runs_drain() -> None:
    async def main(stop: asyncio.Event) -> None:
        waiting = asyncio.create_task(stop.wait())
        await asyncio.sleep(0)
        for _ in range(2):
            signal.raise_signal(signal.SIGTERM)
        await waiting
        await asyncio.sleep(0)
        _drained.append(True)

    _drained.clear()
    asyncio.run(asyncio.wait_for(lifecycle.supervise(main), 10))
    assert _drained == [True]


async def test_a_connected_process_that_is_let_in_no_more_says_why() -> None:
    bus = Bus("archiver")
    bus.absence = startup.Absence("NATS", "nats://127.0.0.1:1", user="archiver")
    with capture_logs() as logs:
        for _ in range(5):
            await bus.on_error(Exception("nats: 'Authorization Violation'"))
    assert [(line["event"], line["why"]) for line in logs] == [("server.awaited", "unknown user, or wrong password")]
