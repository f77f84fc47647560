"""The state of the system: the services' processes, their health, the streams."""

import asyncio
from typing import Any

import msgspec

from shared.bus.client import Bus
from shared.bus.topology import api
from shared.contracts import subjects
from shared.contracts.endpoints.health import CHECK
from shared.contracts.errors import HeadraceError
from shared.contracts.health import Health, HealthCheck
from shared.contracts.topology import STREAMS
from shared.runtime.clock import Clock
from shared.service.ask import ask

HEALTH_WITHIN = 2.0
"""Seconds in which a service has to answer the question for its health."""
READY_FOR = 0.5
"""Seconds for which an answer to `/health/ready` holds."""


class ConsumerState(msgspec.Struct, frozen=True):
    """A consumer of a stream. `pending`: messages not yet delivered; `unacknowledged`: delivered, and not acknowledged."""

    name: str
    pending: int
    unacknowledged: int


class StreamState(msgspec.Struct, frozen=True):
    """A stream and its durable consumers. `messages`: how many it holds; `last`: the sequence of the newest one."""

    name: str
    messages: int
    bytes: int
    last: int
    consumers: list[ConsumerState]


async def health_of(bus: Bus, service: str, within: float = HEALTH_WITHIN) -> Health:
    """The health of a service; one that does not answer within `within` seconds is not well."""
    try:
        return await ask(bus, CHECK[service], HealthCheck(), timeout=within)
    except HeadraceError as error:
        return Health(service, "", False, {"service": error.message}, "")


async def health(bus: Bus) -> list[Health]:
    """All five, in the order of their names in `subjects.SERVICES`."""
    return list(await asyncio.gather(*(health_of(bus, service) for service in subjects.SERVICES)))


class Readiness:
    """Asks all services for their health at most twice a second, however many ask us: anybody may, without a token."""

    def __init__(self, bus: Bus, clock: Clock) -> None:
        self._bus, self._clock = bus, clock
        self._round: asyncio.Task[list[Health]] | None = None
        self._began = 0.0

    async def health(self) -> list[Health]:
        """The health of all services, as of the last half second."""
        now = self._clock.monotonic()
        if self._round is None or (self._round.done() and now - self._began > READY_FOR):
            self._round, self._began = asyncio.create_task(health(self._bus)), now
        return await asyncio.shield(self._round)


async def micro(
    bus: Bus, verb: str, expected: int = len(subjects.SERVICES), within: float = 0.5
) -> list[dict[str, Any]]:
    """The answers to `$SRV.<verb>`: one of each process; ends when all five services have answered, or in time."""
    inbox = bus.nc.new_inbox()
    subscription = await bus.nc.subscribe(inbox)
    answers: list[dict[str, Any]] = []
    try:
        await bus.nc.publish(f"$SRV.{verb}", b"", reply=inbox)
        async with asyncio.timeout(within):
            async for message in subscription.messages:
                if message.data:
                    answers.append(msgspec.json.decode(message.data))
                if len({answer["name"] for answer in answers}) >= expected:
                    break
    except TimeoutError:
        pass
    finally:
        if bus.is_connected:
            await subscription.unsubscribe()
    return sorted(answers, key=lambda answer: (answer["name"], answer["id"]))


async def streams(bus: Bus) -> list[StreamState]:
    """The streams of the topology with their consumers, as the server counts them."""
    found = await asyncio.gather(*(_stream(bus, stream.name) for stream in STREAMS))
    return [state for state in found if state is not None]


async def _stream(bus: Bus, name: str) -> StreamState | None:
    info, consumers = await asyncio.gather(
        api(bus, f"STREAM.INFO.{name}"), api(bus, f"CONSUMER.LIST.{name}", {"offset": 0})
    )
    if "error" in info:
        return None
    state = info["state"]
    durable = [
        ConsumerState(consumer["name"], consumer["num_pending"], consumer["num_ack_pending"])
        for consumer in consumers.get("consumers") or []
        if consumer["config"].get("durable_name")  # the others are readers of the moment
    ]
    return StreamState(
        name, state["messages"], state["bytes"], state["last_seq"], sorted(durable, key=lambda c: c.name)
    )
