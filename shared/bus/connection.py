"""nats-py's client, made to survive what strangers may send.

Its read loop ends at the first error that it does not expect, without a word, and the process gets no message any more until
the server calls the connection stale. A user can cause that with one message: a subject that is not UTF-8 or has a form feed
in it, a block of headers that is cut short or begins with a status that is no text. A stream would deliver it again and again.
Here all of these arrive, as well as they can be read; whoever takes them refuses them with a reason.
"""

import re
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.protocol import parser

from shared.contracts.headers import UNREADABLE

LARGEST_HEADERS: Final = 64 * 1024
"""Bytes. A hundred thousand headers in a megabyte would stop everything else for their time."""
_SHORTEST: Final = len(b"NATS/1.0\r\n\r\n")

# To nats-py any white space ends a word of the protocol. To the server only space, tab and the end of the line do.
parser.MSG_RE = re.compile(rb"\AMSG[ \t]+([^ \t\r\n]+)[ \t]+([^ \t\r\n]+)[ \t]+(([^ \t\r\n]+)[ \t]+)?(\d+)\r\n")
parser.HMSG_RE = re.compile(
    rb"\AHMSG[ \t]+([^ \t\r\n]+)[ \t]+([^ \t\r\n]+)[ \t]+(([^ \t\r\n]+)[ \t]+)?([\d]+)[ \t]+(\d+)\r\n"
)


class Connection(Client):  # type: ignore[misc]
    """A client whose reader goes on whatever arrives."""

    async def read_headers(self, headers: bytes | None) -> dict[str, str] | None:
        """The headers of a block; of one that cannot be read only UNREADABLE, with the reason: what needs them refuses it."""
        if not headers:
            return None
        if not _SHORTEST <= len(headers) <= LARGEST_HEADERS:
            return {UNREADABLE: f"{len(headers)} bytes of headers: {_SHORTEST} to {LARGEST_HEADERS} are allowed"}
        try:
            found: dict[str, str] | None = await super()._process_headers(headers)
            return found
        except (ValueError, IndexError):
            return {UNREADABLE: "the headers begin with a status that is not text"}

    def build_message(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None) -> Msg:
        """The message with its subjects decoded as well as they can be."""
        made: type[Msg] = self.msg_class
        return made(
            subject=subject.decode("utf-8", "replace"),
            reply=reply.decode("utf-8", "replace"),
            data=data,
            headers=headers,
            _client=self,
            _sid=sid,
        )

    _process_headers, _build_message = read_headers, build_message
    """The names by which nats-py calls them."""
