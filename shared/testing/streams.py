"""Streams and durable consumers in memory: what the JetStream API does, as far as Headrace asks for it."""

import asyncio
import base64
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any

import msgspec

Deliver = Callable[[str, bytes, str, dict[str, str] | None, str], bool]
"""Hands on, to an inbox: data, reply, headers, and the subject that the message has; whether anybody listens."""


def matches(pattern: str, subject: str) -> bool:
    """NATS's wildcards: `*` is one token, `>` the rest."""
    pattern_parts, found = pattern.split("."), subject.split(".")
    for place, part in enumerate(pattern_parts):
        if part == ">":
            return len(found) > place
        if place >= len(found) or part not in ("*", found[place]):
            return False
    return len(pattern_parts) == len(found)


class _Message:
    def __init__(self, sequence: int, subject: str, data: bytes, headers: dict[str, str] | None) -> None:
        self.sequence, self.subject, self.data, self.headers = sequence, subject, data, headers


class _Consumer:
    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.next = 1
        self.waiting: list[tuple[str, int, int]] = []  # reply subject, how many messages, rank, of each request
        self.held: dict[int, int] = {}  # delivered and not acknowledged: sequence → how often
        self.again: deque[int] = deque()
        self.delivered: dict[int, int] = {}


class _Stream:
    def __init__(self, config: dict[str, Any], created: str) -> None:
        self.config, self.created = config, created
        self.messages: dict[int, _Message] = {}
        self.consumers: dict[str, _Consumer] = {}
        self.ids: dict[str, int] = {}
        self.last = 0

    @property
    def is_queue(self) -> bool:
        return bool(self.config.get("retention") == "workqueue")


class Streams:
    """The streams and consumers of JetStream, as far as Headrace uses them, in memory."""

    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver
        self._streams: dict[str, _Stream] = {}
        self._made = count(1)

    # -- what tests look at

    def messages(self, stream: str) -> list[tuple[str, bytes]]:
        """Subject and data of what a stream holds, in order."""
        return [(message.subject, message.data) for message in self._streams[stream].messages.values()]

    def left(self) -> dict[str, list[str]]:
        """Subjects of what queues hold, and of what was delivered but not acknowledged, by stream."""
        found: dict[str, list[str]] = {}
        for name, stream in self._streams.items():
            held = {sequence for consumer in stream.consumers.values() for sequence in consumer.held}
            subjects = [m.subject for m in stream.messages.values() if stream.is_queue or m.sequence in held]
            if subjects:
                found[name] = subjects
        return found

    def redeliver(self) -> int:
        """Delivers again what was delivered and not acknowledged; how many messages."""
        done = 0
        for name, stream in self._streams.items():
            for own, consumer in stream.consumers.items():
                done += len(consumer.held)
                consumer.again.extend(consumer.held)
                consumer.held.clear()
                self._pump(name, own)
        return done

    # -- publishing

    def store(self, subject: str, data: bytes, headers: dict[str, str] | None) -> bytes | None:
        """The ack of the stream that takes the subject; None if there is none."""
        for name, stream in self._streams.items():
            if not any(matches(pattern, subject) for pattern in stream.config["subjects"]):
                continue
            id = (headers or {}).get("Nats-Msg-Id")
            if id is not None and id in stream.ids:
                return msgspec.json.encode({"stream": name, "seq": stream.ids[id], "duplicate": True})
            stream.last += 1
            stream.messages[stream.last] = _Message(stream.last, subject, data, headers)
            if id is not None:
                stream.ids[id] = stream.last
            for own in stream.consumers:
                self._pump(name, own)
            return msgspec.json.encode({"stream": name, "seq": stream.last})
        return None

    # -- the API

    def call(self, subject: str, data: bytes, reply: str) -> bytes | None:
        """One call; None where the answer comes otherwise, or not at all."""
        tokens = subject.split(".")
        if tokens[1] == "ACK":
            self._answer(tokens, data)
            return None
        body: dict[str, Any] = msgspec.json.decode(data) if data else {}
        if tokens[2:5] == ["CONSUMER", "MSG", "NEXT"]:
            self._next(tokens[5], tokens[6], int(body.get("batch", 1)), int(body.get("priority", 0)), reply)
            return None
        name = tokens[5] if tokens[2:4] == ["STREAM", "MSG"] else tokens[4]
        verb = "_".join(tokens[2:5] if tokens[2:4] == ["STREAM", "MSG"] else tokens[2:4]).lower()
        stream = self._streams.get(name)
        if stream is None and verb != "stream_create":
            return msgspec.json.encode(_error(404, 10059, "stream not found"))
        return msgspec.json.encode(getattr(self, f"_{verb}")(name, stream, body, tokens[5:]))

    def _stream_create(self, name: str, stream: _Stream | None, body: dict[str, Any], _: list[str]) -> dict[str, Any]:
        if stream is not None and stream.config != body:
            return _error(400, 10058, "stream name already in use with a different configuration")
        if stream is None:
            stream = self._streams[name] = _Stream(body, f"incarnation {next(self._made)}")
        return self._stream_info(name, stream, {}, [])

    def _stream_update(self, name: str, stream: _Stream, body: dict[str, Any], _: list[str]) -> dict[str, Any]:
        stream.config = body
        return self._stream_info(name, stream, {}, [])

    def _stream_info(self, name: str, stream: _Stream, body: dict[str, Any], _: list[str]) -> dict[str, Any]:
        first = next(iter(stream.messages), stream.last + 1)
        state = {"messages": len(stream.messages), "first_seq": first, "last_seq": stream.last}
        return {"config": stream.config, "created": stream.created, "state": state}

    def _stream_delete(self, name: str, stream: _Stream, body: dict[str, Any], _: list[str]) -> dict[str, Any]:
        for consumer in stream.consumers.values():
            self._refuse(consumer)
        del self._streams[name]
        return {"success": True}

    def _stream_purge(self, name: str, stream: _Stream, body: dict[str, Any], _: list[str]) -> dict[str, Any]:
        subject_filter = body.get("filter", ">")
        gone = [sequence for sequence, message in stream.messages.items() if matches(subject_filter, message.subject)]
        for sequence in gone:
            self._drop(stream, sequence)
        return {"success": True, "purged": len(gone)}

    def _stream_msg_get(self, name: str, stream: _Stream, body: dict[str, Any], _: list[str]) -> dict[str, Any]:
        subject_filter = body.get("next_by_subj")
        for sequence, message in stream.messages.items():
            if sequence == body["seq"] or (
                subject_filter and sequence > body["seq"] and matches(subject_filter, message.subject)
            ):
                lines = "".join(f"{key}: {value}\r\n" for key, value in (message.headers or {}).items())
                shown = {"subject": message.subject, "seq": sequence, "time": "", "data": _base64(message.data)}
                return {"message": shown | ({"hdrs": _base64(f"NATS/1.0\r\n{lines}\r\n".encode())} if lines else {})}
        return _error(404, 10037, "no message found")

    def _stream_msg_delete(self, name: str, stream: _Stream, body: dict[str, Any], _: list[str]) -> dict[str, Any]:
        if body["seq"] not in stream.messages:
            return _error(400, 10043, "sequence not found")
        self._drop(stream, body["seq"])
        return {"success": True}

    def _consumer_create(self, name: str, stream: _Stream, body: dict[str, Any], rest: list[str]) -> dict[str, Any]:
        consumer = stream.consumers.setdefault(rest[0], _Consumer(body["config"]))
        consumer.config = body["config"]
        return self._consumer_info(name, stream, {}, rest)

    def _consumer_info(self, name: str, stream: _Stream, body: dict[str, Any], rest: list[str]) -> dict[str, Any]:
        consumer = stream.consumers.get(rest[0])
        if consumer is None:
            return _error(404, 10014, "consumer not found")
        subject_filter = consumer.config["filter_subject"]
        new = sum(1 for n, m in stream.messages.items() if n >= consumer.next and matches(subject_filter, m.subject))
        pending = new + len(consumer.again)
        return {"config": consumer.config, "num_pending": pending, "num_ack_pending": len(consumer.held)}

    def _consumer_delete(self, name: str, stream: _Stream, body: dict[str, Any], rest: list[str]) -> dict[str, Any]:
        consumer = stream.consumers.pop(rest[0], None)
        if consumer is None:
            return _error(404, 10014, "consumer not found")
        self._refuse(consumer)
        return {"success": True}

    # -- delivering

    def _next(self, name: str, own: str, batch: int, rank: int, reply: str) -> None:
        stream = self._streams.get(name)
        consumer = stream.consumers.get(own) if stream else None
        if consumer is None:
            self._deliver(reply, b"", "", {"Status": "503", "Description": "No Responders"}, reply)
            return
        consumer.waiting.append((reply, batch, rank))
        consumer.waiting.sort(key=lambda request: request[2])
        self._pump(name, own)

    def _refuse(self, consumer: _Consumer) -> None:
        """Removes a consumer: who waits for its messages gets a status."""
        for reply, batch, _ in consumer.waiting:
            headers = {"Status": "409", "Description": "Consumer Deleted", "Nats-Pending-Messages": str(batch)}
            self._deliver(reply, b"", "", headers, reply)

    def _pump(self, name: str, own: str) -> None:
        stream, consumer = self._streams[name], self._streams[name].consumers[own]
        while consumer.waiting and (message := self._due(stream, consumer)) is not None:
            reply, room, rank = consumer.waiting.pop(0)
            times = consumer.delivered[message.sequence] = consumer.delivered.get(message.sequence, 0) + 1
            ack = f"$JS.ACK.{name}.{own}.{times}.{message.sequence}.{message.sequence}.0.0"
            consumer.held[message.sequence] = times
            if self._deliver(reply, message.data, ack, message.headers, message.subject):
                if room > 1:
                    consumer.waiting.insert(0, (reply, room - 1, rank))
            else:  # who asked has gone
                consumer.delivered[message.sequence] -= 1
                del consumer.held[message.sequence]
                consumer.again.appendleft(message.sequence)

    def _due(self, stream: _Stream, consumer: _Consumer) -> _Message | None:
        while consumer.again:
            if message := stream.messages.get(consumer.again.popleft()):
                return message
        while consumer.next <= stream.last:
            message = stream.messages.get(consumer.next)
            consumer.next += 1
            if message is not None and matches(consumer.config["filter_subject"], message.subject):
                return message
        return None

    def _answer(self, tokens: list[str], word: bytes) -> None:
        stream = self._streams.get(tokens[2])
        consumer = stream.consumers.get(tokens[3]) if stream else None
        sequence = int(tokens[5])
        if stream is None or consumer is None or sequence not in consumer.held or word == b"+WPI":
            return
        del consumer.held[sequence]
        if not word.startswith(b"-NAK"):
            if stream.is_queue:
                self._drop(stream, sequence)
            return
        delay = msgspec.json.decode(word[4:])["delay"] / 1e9 if len(word) > 4 else 0.0

        def again() -> None:
            consumer.again.append(sequence)
            if stream.consumers.get(tokens[3]) is consumer and self._streams.get(tokens[2]) is stream:
                self._pump(tokens[2], tokens[3])

        if delay:
            asyncio.get_running_loop().call_later(delay, again)
        else:
            again()

    def _drop(self, stream: _Stream, sequence: int) -> None:
        stream.messages.pop(sequence, None)
        for consumer in stream.consumers.values():
            consumer.held.pop(sequence, None)


def _error(code: int, number: int, text: str) -> dict[str, Any]:
    return {"error": {"code": code, "err_code": number, "description": text}}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
