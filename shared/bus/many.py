"""One request, many replies: every subscriber may reply, until there are enough replies or the time is up.

async with ask_many(bus, "hr.offer.request", asked, OfferReply, within=2) as answers:
    await answers.until(lambda found: len(found) >= 3)
    answers.found, answers.errors
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

import msgspec
from nats.aio.msg import Msg
from nats.errors import Error

from shared.bus import trace
from shared.bus.client import Bus, error_of
from shared.bus.publish import encode
from shared.contracts import headers as h
from shared.contracts.errors import HeadraceError, Unavailable
from shared.runtime.log import log

T = TypeVar("T")


class Answers(Generic[T]):
    """The replies to one request. `found`: those that came so far, in their order; `errors`: the refusals among them."""

    def __init__(self, reply: type[T], within: float) -> None:
        self._decode = msgspec.json.Decoder(reply).decode
        self._end = asyncio.get_running_loop().time() + within
        self._came = asyncio.Event()
        self._no_responders = False
        self.found: list[T] = []
        self.errors: list[HeadraceError] = []

    async def until(self, enough: Callable[[list[T]], bool]) -> bool:
        """Waits until `enough` says so of the replies found; False if the time was up first, or if nobody is subscribed."""
        while not enough(self.found):
            self._came.clear()
            left = self._end - asyncio.get_running_loop().time()
            if self._no_responders or left <= 0:
                return False
            try:
                async with asyncio.timeout(left):
                    await self._came.wait()
            except TimeoutError:
                return enough(self.found)
        return True

    async def take(self, message: Msg) -> None:
        """Adds a reply; one that does not decode is logged and dropped."""
        headers = message.headers or {}
        try:
            if headers.get("Status") == "503":
                self._no_responders = True
            elif "Nats-Service-Error-Code" in headers:
                self.errors.append(error_of(message))
            else:
                self.found.append(self._decode(message.data))
        except msgspec.MsgspecError as error:
            log.warning("answer.malformed", subject=message.subject, error=str(error))
        self._came.set()


@asynccontextmanager
async def ask_many(
    bus: Bus, subject: str, message: Any, reply: type[T], *, within: float, headers: dict[str, str] | None = None
) -> AsyncIterator[Answers[T]]:
    """Publishes a request and collects replies of the type `reply` until the end of the block, for at most `within` seconds.

    Unavailable if the bus is away.
    """
    if not bus.is_connected:
        raise Unavailable("the bus is away")
    inbox = bus.nc.new_inbox()
    answers: Answers[T] = Answers(reply, within)
    sent = {h.TRACE: trace.current.get() or trace.new(), **(headers or {})}
    subscription = await bus.nc.subscribe(inbox, cb=answers.take)
    try:
        try:
            await bus.nc.publish(subject, encode(message), reply=inbox, headers=sent)
        except (Error, OSError) as error:
            raise Unavailable(f"the bus is away: {error!r}") from None
        yield answers
    finally:
        if bus.is_connected:
            await subscription.unsubscribe()
