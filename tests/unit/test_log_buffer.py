"""What an attempt prints: how it is cut into reports, how much is kept, and what is made of bytes that are no text."""

import asyncio
from uuid import uuid4

import pytest

from shared.contracts.work import LOG_CHUNK, LOG_KEPT, Logged
from shared.runtime.plain import plain
from shared.worker.log_buffer import LogBuffer
from tests.support.wait import wait_until

TASK = uuid4()


class Received:
    """The reports of one attempt."""

    def __init__(self) -> None:
        self.reports: list[Logged] = []
        self.printed = LogBuffer(TASK, 1, self.reports.append)

    @property
    def text(self) -> str:
        return "".join(report.text for report in self.reports)

    def ended(self) -> str:
        """All of it, each piece beginning where the one before ended."""
        self.printed.end()
        at = 0
        for report in self.reports:
            assert (report.task, report.attempt, report.start) == (TASK, 1, at)
            assert 0 < len(report.text.encode()) <= LOG_CHUNK
            at += len(report.text)
        return self.text


@pytest.fixture
async def received() -> Received:
    return Received()


async def test_who_prints_nothing_reports_nothing(received: Received) -> None:
    assert received.ended() == ""
    assert received.reports == []


async def test_what_is_printed_in_a_while_is_one_report(received: Received, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.worker.log_buffer.INTERVAL", 0.05)
    for number in range(100):
        assert received.printed.write(b"%d\n" % number)
    assert received.reports == []
    await wait_until(lambda: received.reports)
    assert received.text == "".join(f"{n}\n" for n in range(100))
    assert len(received.reports) == 1
    received.printed.write(b"later")
    await wait_until(lambda: len(received.reports) == 2)
    assert received.ended().endswith("99\nlater")
    assert len(received.reports) == 2


async def test_more_than_a_piece_goes_out_one_by_one_and_at_the_end_at_once(
    received: Received, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.worker.log_buffer.INTERVAL", 0.02)
    received.printed.write(b"x" * (5 * LOG_CHUNK))
    await wait_until(lambda: len(received.reports) == 2)
    assert received.ended() == "x" * (5 * LOG_CHUNK)
    assert len(received.reports) == 5


async def test_no_more_than_the_limit_is_kept_and_the_rest_is_counted(received: Received) -> None:
    line = b"a line of 32 bytes, with its end\n"
    lines = 10 * LOG_KEPT // len(line)
    for _ in range(lines):
        received.printed.write(line)
    text = received.ended()
    kept, _, last = text.rstrip("\n").rpartition("\n")
    assert len(kept) == LOG_KEPT
    assert last == f"… {lines * len(line) - LOG_KEPT} bytes more were not kept"
    assert (line.decode() * lines).startswith(kept)


@pytest.mark.parametrize("data", ["é".encode(), b"\xff", b"\x00"], ids=["two bytes", "no text", "control"])
async def test_the_limit_counts_what_is_kept(received: Received, data: bytes) -> None:
    received.printed.write(data * LOG_KEPT)
    kept, _, last = received.ended().rstrip("\n").rpartition("\n")
    assert LOG_KEPT - 4 < len(kept.encode()) <= LOG_KEPT
    assert "were not kept" in last


async def test_what_comes_after_the_limit_leaves_no_gap(received: Received) -> None:
    received.printed.write(b"x" * (LOG_KEPT - 1))
    received.printed.write("€".encode())
    received.printed.write(b"y")
    assert received.ended() == "x" * (LOG_KEPT - 1) + "\n… 4 bytes more were not kept\n"


async def test_control_characters_become_harmless(received: Received) -> None:
    received.printed.write(b"\x1b[31mred\x00\x07\x7f\ttab\r\nnext\rover\xc2\x9bC1\xffend\r")
    assert received.ended() == "␛[31mred␀␇␡\ttab\nnext\nover\ufffdC1\ufffdend\n"


async def test_characters_and_line_ends_may_come_in_parts(received: Received) -> None:
    for byte in "grün\r\n€".encode():
        received.printed.write(bytes([byte]))
    assert received.ended() == "grün\n€"


async def test_after_the_end_it_is_nobodys(received: Received) -> None:
    received.printed.write(b"in time")
    assert received.ended() == "in time"
    assert not received.printed.write(b"too late")
    assert received.ended() == "in time"


async def test_an_attempt_that_is_given_up_tells_nothing(received: Received) -> None:
    received.printed.write(b"x")
    received.printed.end(report=False)
    assert received.reports == []


async def test_threads_may_print(received: Received) -> None:
    def speak() -> None:
        for _ in range(500):
            received.printed.write(b"whole line\n")

    await asyncio.gather(*(asyncio.to_thread(speak) for _ in range(4)))
    assert received.ended() == "whole line\n" * 2000


def test_plain_keeps_every_length() -> None:
    every = "".join(map(chr, range(0x300))) + "\ud800 and a picture 🔭"
    assert len(plain(every)) == len(every)
    assert "".join(c for c in plain(every) if not c.isprintable()) == "\t\n\xa0\xad"
