"""Our client of the bus reads whatever arrives: nats-py's own reader would end, and hear nothing any more."""

import pytest
from nats.protocol.parser import Parser

from shared.bus.connection import LARGEST_HEADERS, Connection
from shared.bus.delegations import Delegations
from shared.contracts.errors import Invalid
from shared.contracts.headers import UNREADABLE
from shared.service.middleware.identity import of_command, of_request


@pytest.mark.parametrize(
    "raw",
    [
        b"abc",
        b"NATS/1.0",
        b"NATS/1.0\r\n",
        b"NATS/1.0 \xff\xff\xff\r\n\r\n",
        b"NATS/1.0 100 \xff\r\n\r\n",
        b"NATS/1.0 100 \xff\r\na: b\r\n\r\n",
        b"NATS/1.0\r\n" + b"a: b\r\n" * (LARGEST_HEADERS // 6) + b"\r\n",
    ],
)
async def test_headers_that_cannot_be_read_are_refused_by_who_needs_them(raw: bytes) -> None:
    headers = await Connection().read_headers(raw)
    assert list(headers or {}) == [UNREADABLE]
    for call in (
        lambda: of_request("hr.rpc.s.n.v", headers, Delegations()),
        lambda: of_command("hr.cmd.a.s.n.v", headers, "1"),
    ):
        with pytest.raises(Invalid) as refused:
            call()
        assert refused.value.field == "headers"


@pytest.mark.parametrize(
    ("raw", "read"),
    [
        (b"NATS/1.0\r\na: b\r\n\r\n", {"a": "b"}),
        (b"NATS/1.0\r\na: \xff\r\n\xff: b\r\n\r\n", {"a": "\ufffd"}),
        (b"NATS/1.0 503\r\n\r\n", {"Status": "503"}),
    ],
)
async def test_others_are_read(raw: bytes, read: dict[str, str]) -> None:
    assert await Connection().read_headers(raw) == read


@pytest.mark.parametrize(
    "subject", [b"a.\xff", b"a.\x0cb", b"a.\x0b", b"a.\x00", b"a.\x1c", b"a.\x85", b"a." + b"x" * 5000]
)
async def test_any_subject_that_the_server_takes_is_read(subject: bytes) -> None:
    seen: list[object] = []

    class Listener:
        """The side of nats-py's parser that takes messages."""

        async def _process_msg(self, *message: object) -> None:
            seen.append(message)

    reader = Parser(Listener())
    frames = b"MSG %s 1 2\r\n{}\r\nHMSG %s 1 r 12 14\r\nNATS/1.0\r\n\r\n{}\r\n" % (subject, subject)
    for at in range(0, len(frames), 7):
        await reader.parse(frames[at : at + 7])
    assert seen == [(1, subject, b"", b"{}", None), (1, subject, b"r", b"{}", b"NATS/1.0\r\n\r\n")]
    built = Connection().build_message(1, subject, b"r\xff", b"", None)
    assert built.subject == subject.decode("utf-8", "replace")


@pytest.mark.parametrize("key", ["k" * 256, "a\x00b", "a\nb", "\ufffd", "\u202e"])
def test_an_idempotency_key_that_is_none_is_refused(key: str) -> None:
    with pytest.raises(Invalid) as refused:
        of_request("hr.rpc.s.n.v", {"Idempotency-Key": key}, Delegations())
    assert refused.value.field == "Idempotency-Key"
    assert of_request("hr.rpc.s.n.v", {"Idempotency-Key": "k" * 255}, Delegations()).key == "k" * 255
