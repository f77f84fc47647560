"""A poisoned message blocks nothing: it is written to DEAD with the reason, then terminated in its own stream.

`max_deliver` would leave it lying in a work queue, so deliveries are counted here. In this order: the copy in DEAD is
stored first, so that a kill in between leaves two copies rather than none.
"""

from collections.abc import Awaitable, Callable

from nats.aio.msg import Msg

from shared.bus.client import Bus
from shared.bus.pull import Pull, delivery
from shared.contracts import headers as h
from shared.contracts import subjects
from shared.contracts.errors import HeadraceError, Internal, TimedOut
from shared.contracts.topology import DEAD_WHOLE
from shared.db.pool import translate
from shared.runtime.log import log
from shared.runtime.plain import plain
from shared.runtime.retry import Backoff

ATTEMPTS = 5
TIMEOUTS = 20
"""Attempts of what takes too long each time: some 20 minutes of a server that hangs, and then its place is for others."""
BACKOFF = Backoff(first=0.2, ceiling=30)
DEAD_BEGINNING = 4096
"""Bytes of a message's data that are kept of one that is longer than `DEAD_WHOLE`."""


Refuse = Callable[[HeadraceError], Awaitable[None]]
"""Publishes to whoever sent a message that it will not be carried out."""


def dead_letter(bus: Bus, message: Msg, stream: str, sequence: int, reason: str) -> tuple[dict[str, str], bytes]:
    """The headers and data of the copy: whole up to `DEAD_WHOLE` bytes, otherwise the beginning of the data, and no headers
    but ours."""
    found = {key: value for key, value in (message.headers or {}).items() if not key.startswith("Nats-")}
    size = len(message.data) + sum(len(key) + len(value) for key, value in found.items())
    headers = {
        h.DEAD_REASON: plain(" ".join(reason.split())[:500]),
        h.DEAD_STREAM: stream,
        h.DEAD_SUBJECT: plain(message.subject),
        h.DEAD_SEQUENCE: str(sequence),
        "Nats-Msg-Id": f"dead:{bus.incarnations.get(stream, '')}:{stream}:{sequence}",
    }
    if size > DEAD_WHOLE:
        return headers | {h.DEAD_SIZE: str(len(message.data))}, message.data[:DEAD_BEGINNING]
    return found | headers, message.data


async def bury(bus: Bus, pull: Pull, message: Msg, stream: str, reason: str) -> None:
    """Moves a message to DEAD. Without the bus it is left there, and will be delivered again."""
    _, sequence = delivery(message)
    headers, data = dead_letter(bus, message, stream, sequence, reason)
    try:
        await bus.publish(subjects.dead(stream, subjects.dead_source(message.subject)), data, headers=headers)
    except HeadraceError as error:
        log.warning("message.not_buried", stream=stream, subject=message.subject, reason=reason, error=repr(error))
        await pull.nak(message, BACKOFF.first)
        return
    await pull.term(message)
    log.error("message.buried", stream=stream, subject=message.subject, sequence=sequence, reason=reason)


async def guard(
    bus: Bus,
    pull: Pull,
    message: Msg,
    stream: str,
    work: Callable[[], Awaitable[None]],
    refuse: Refuse | None = None,
) -> None:
    """Runs `work` for a message and acknowledges it last.

    A final error (the message is wrong) buries it at once; anything else is tried again, `ATTEMPTS` times if it is a
    surprise, `TIMEOUTS` times if it takes too long, for ever if it is an outage. `refuse` is called before it is buried.
    """
    try:
        try:
            await work()
        except Exception as error:
            tries, _ = delivery(message)
            known = error if isinstance(error, HeadraceError) else translate(error)
            surprise = known is None or isinstance(known, Internal)
            final = known is not None and not known.retryable
            gave_up = isinstance(known, TimedOut) and tries >= TIMEOUTS
            if not (final or gave_up or (surprise and tries >= ATTEMPTS)):
                raise
            if refuse is not None:
                await refuse(known or Internal())
            await bury(bus, pull, message, stream, f"{type(error).__name__}: {error}")
            return
    except Exception as error:
        tries, _ = delivery(message)
        log.warning("message.retried", stream=stream, subject=message.subject, tries=tries, error=repr(error))
        await pull.nak(message, BACKOFF.delay(tries - 1))
        return
    await pull.ack(message)
