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
from shared.contracts.errors import HeadraceError, Internal
from shared.db.pool import translate
from shared.runtime.log import log
from shared.runtime.retry import Backoff

ATTEMPTS = 5
BACKOFF = Backoff(first=0.2, ceiling=30)


async def bury(bus: Bus, pull: Pull, message: Msg, stream: str, reason: str) -> None:
    """Moves a message to DEAD. Without the bus it is left there, and will be delivered again."""
    _, sequence = delivery(message)
    headers = {key: value for key, value in (message.headers or {}).items() if not key.startswith("Nats-")}
    headers |= {
        h.DEAD_REASON: " ".join(reason.split())[:500],
        h.DEAD_STREAM: stream,
        h.DEAD_SUBJECT: message.subject,
        h.DEAD_SEQUENCE: str(sequence),
        "Nats-Msg-Id": f"dead:{bus.incarnations.get(stream, '')}:{stream}:{sequence}",
    }
    try:
        await bus.publish(subjects.dead(stream), message.data, headers=headers)
    except HeadraceError as error:
        log.warning("message.not_buried", stream=stream, subject=message.subject, reason=reason, error=repr(error))
        await pull.nak(message, BACKOFF.first)
        return
    await pull.term(message)
    log.error("message.buried", stream=stream, subject=message.subject, sequence=sequence, reason=reason)


async def guard(bus: Bus, pull: Pull, message: Msg, stream: str, work: Callable[[], Awaitable[None]]) -> None:
    """Runs `work` for a message and acknowledges it last.

    A final error (the message is wrong) buries it at once; anything else is tried again, `ATTEMPTS` times if it is a
    surprise, for ever if it is an outage.
    """
    try:
        await work()
    except Exception as error:
        tries, _ = delivery(message)
        told = error if isinstance(error, HeadraceError) else translate(error)
        surprise = told is None or isinstance(told, Internal)
        final = told is not None and not told.retryable
        if final or (surprise and tries >= ATTEMPTS):
            await bury(bus, pull, message, stream, f"{type(error).__name__}: {error}")
            return
        log.warning("message.again", stream=stream, subject=message.subject, tries=tries, error=repr(error))
        await pull.nak(message, BACKOFF.delay(tries - 1))
        return
    await pull.ack(message)
