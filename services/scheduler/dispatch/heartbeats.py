"""Heartbeats of workers: one message for all that a worker holds; the answer names what it must stop."""

import asyncio
from typing import Any

import asyncpg
import msgspec
from nats.aio.msg import Msg

from services.scheduler.dispatch import workers
from services.scheduler.dispatch.gossip import Gossip
from services.scheduler.dispatch.registry import Registry
from services.scheduler.dispatch.victims import ranks
from shared.bus.client import Bus
from shared.contracts import subjects
from shared.contracts.work import Beat, BeatReply
from shared.db.pool import AWAY
from shared.runtime.clock import Clock
from shared.runtime.log import log
from shared.service.decode import MALFORMED
from shared.service.middleware.identity import site_of_worker

BEATS = subjects.beat("*")
_decode = msgspec.json.Decoder(Beat).decode


class Heartbeats:
    """`every`: seconds between two beats of a worker; each answer carries it."""

    def __init__(
        self, bus: Bus, pool: "asyncpg.Pool[Any]", registry: Registry, gossip: Gossip, clock: Clock, *, every: float
    ) -> None:
        self._bus, self._pool, self._registry, self._gossip, self._clock = bus, pool, registry, gossip, clock
        self._every = every
        self._answers: set[asyncio.Task[None]] = set()

    async def listen(self) -> None:
        """Every scheduler gets every beat, so that none takes a worker for dead; one of them answers."""
        await self._bus.nc.subscribe(BEATS, cb=self._on_beat)
        await self._bus.nc.subscribe(BEATS, queue="scheduler", cb=self._on_request)

    async def _on_beat(self, message: Msg) -> None:
        try:
            beat = _decode(message.data)
        except MALFORMED as error:
            log.warning("beat.malformed", subject=message.subject, error=str(error))
            return
        if not self._is_its_own(message, beat):
            log.warning("beat.foreign", worker=beat.worker, partitions=beat.serves)
            return
        serves, now = set(beat.serves), self._clock.monotonic()
        for partition in self._registry:
            known = beat.worker in partition.workers
            if partition.name not in serves:
                if known:
                    partition.remove_worker(beat.worker)
                continue
            if partition.record_beat(beat, now):
                if not known:
                    log.info("worker.seen", worker=beat.worker, partition=partition.name, slots=beat.slots)
                if beat.unwell:
                    log.warning(
                        "worker.short_of_resources", worker=beat.worker, partition=partition.name, why=beat.unwell
                    )
                await self._gossip.wake()
        for name in serves - {partition.name for partition in self._registry}:
            log.warning("beat.unknown_partition", worker=beat.worker, partition=name)

    def _is_its_own(self, message: Msg, beat: Beat) -> bool:
        """A site's worker serves the site's partition, and is not called as a worker of another one."""
        site = site_of_worker(message.headers or {})
        others = (partition for partition in self._registry if partition.name != site)
        return not site or (beat.serves == [site] and not any(beat.worker in other.workers for other in others))

    async def _on_request(self, message: Msg) -> None:
        task = asyncio.create_task(self._answer(message))
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)

    async def _answer(self, message: Msg) -> None:
        if not subjects.is_reply(message.reply):
            return
        try:
            beat = _decode(message.data)
        except MALFORMED:
            return  # logged by `_on_beat`
        if not self._is_its_own(message, beat):
            return
        serves = [partition for name in beat.serves if (partition := self._registry.named(name)) is not None]
        if not serves:
            return
        try:
            await workers.store_beat(self._pool, beat)
            ended = await workers.ended_of(self._pool, beat.holds)
        except (*AWAY, asyncpg.PostgresError) as error:
            log.warning("beat.not_stored", worker=beat.worker, error=repr(error))
            return  # no answer: the worker goes on as it does
        await self._bus.publish_core(message.reply, BeatReply(ended, self._every, ranks(serves)))
