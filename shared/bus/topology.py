"""Makes the streams and consumers what shared/contracts/topology.py says, whole, every time.

The raw API is used because nats-py's dataclasses lag behind the server's fields; a field left out returns to the server's
default, so the data is the truth.
"""

from typing import TYPE_CHECKING, Any

import msgspec

from shared.contracts.errors import Internal, Unavailable
from shared.contracts.topology import STREAMS, Consumer, Stream
from shared.runtime.log import log

if TYPE_CHECKING:
    from shared.bus.client import Bus

_NAME_IN_USE = 10058
_NO_CONSUMER = 10014
_SECOND = 1_000_000_000


def stream_config(stream: Stream, replicas: int = 1) -> dict[str, Any]:
    """The server's form of a stream. Durations become nanoseconds."""
    return {
        "name": stream.name,
        "description": stream.description,
        "subjects": list(stream.subjects),
        "retention": stream.retention,
        "storage": "file",
        "discard": "new" if stream.refuses else "old",
        "discard_new_per_subject": stream.refuses,
        "max_age": int(stream.max_age * _SECOND),
        "max_bytes": stream.max_bytes,
        "max_msgs_per_subject": stream.max_msgs_per_subject,
        "max_msg_size": stream.max_msg_size,
        "duplicate_window": int(stream.duplicate_window * _SECOND),
        "allow_msg_schedules": stream.allow_schedules,
        "allow_direct": True,
        "num_replicas": replicas,
    }


def consumer_config(consumer: Consumer) -> dict[str, Any]:
    """The server's form of a consumer. Durations become nanoseconds."""
    ranks = {"priority_policy": "prioritized", "priority_groups": [consumer.name]} if consumer.ranked else {}
    return {
        "name": consumer.name,
        "durable_name": consumer.name,
        "filter_subject": consumer.filter,
        "ack_policy": "explicit",
        "ack_wait": int(consumer.ack_wait * _SECOND),
        "max_deliver": -1,
        "max_ack_pending": consumer.max_ack_pending,
        "max_waiting": 512,
        "deliver_policy": "all",
        "replay_policy": "instant",
        **ranks,
    }


async def api(bus: "Bus", verb: str, body: object = None, timeout: float = 5.0) -> dict[str, Any]:
    """Calls the JetStream API: `$JS.API.<verb>`. An error of the API is in the answer, under `error`."""
    reply = await bus.ask(f"$JS.API.{verb}", b"" if body is None else msgspec.json.encode(body), timeout=timeout)
    answer: dict[str, Any] = msgspec.json.decode(reply.data)
    return answer


def _check(what: str, answer: dict[str, Any]) -> dict[str, Any]:
    if error := answer.get("error"):
        kind = Unavailable if error.get("code") == 503 else Internal
        raise kind(f"{what}: {error.get('description')} ({error.get('err_code')})")
    return answer


async def ensure_stream(bus: "Bus", stream: Stream) -> str:
    """Creates or updates a stream with its consumers. Returns when it was created: its incarnation."""
    config = stream_config(stream, bus.replicas)
    answer = await api(bus, f"STREAM.CREATE.{stream.name}", config)
    if answer.get("error", {}).get("err_code") == _NAME_IN_USE:
        answer = await api(bus, f"STREAM.UPDATE.{stream.name}", config)
    created = str(_check(f"stream {stream.name}", answer)["created"])
    for consumer in stream.consumers:
        await ensure_consumer(bus, stream.name, consumer)
    return created


async def ensure_consumer(bus: "Bus", stream: str, consumer: Consumer) -> None:
    """Creates or updates a durable consumer."""
    body = {"stream_name": stream, "config": consumer_config(consumer), "action": ""}
    verb = f"CONSUMER.CREATE.{stream}.{consumer.name}.{consumer.filter}"
    _check(f"consumer {consumer.name}", await api(bus, verb, body))


async def drop_consumer(bus: "Bus", stream: str, consumer: Consumer) -> None:
    """Deletes a durable consumer; harmless when it is gone."""
    answer = await api(bus, f"CONSUMER.DELETE.{stream}.{consumer.name}")
    if answer.get("error", {}).get("err_code") != _NO_CONSUMER:
        _check(f"consumer {consumer.name}", answer)


async def apply(bus: "Bus") -> dict[str, str]:
    """Creates or updates all streams and consumers. Returns each stream's incarnation, by its name."""
    incarnations = {stream.name: await ensure_stream(bus, stream) for stream in STREAMS}
    log.debug("topology.applied", streams=len(incarnations))
    return incarnations


async def purge(bus: "Bus", stream: str, subject: str) -> int:
    """Deletes what a stream holds under a subject filter. Returns how many messages that were."""
    answer = _check(f"purge {subject}", await api(bus, f"STREAM.PURGE.{stream}", {"filter": subject}, timeout=30))
    return int(answer.get("purged", 0))
