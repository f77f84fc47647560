"""docs/asyncapi.yaml: everything that passes on the bus, as AsyncAPI 3, from shared/contracts.

An operation is what the service does that `x-service` names. Streams and consumers have no place of their own in
AsyncAPI: they are in `x-streams`, and a channel that a stream holds names it in `x-stream`.
"""

import re
from typing import Any, Final

import yaml

from deploy.generate.channels import CHANNELS, Channel
from deploy.generate.endpoints import kind_of
from deploy.generate.schemas import schemas
from services.scheduler import __version__
from shared.bus.topology import consumer_config, stream_config
from shared.contracts import headers as h
from shared.contracts.endpoint import Endpoint
from shared.contracts.endpoints import ENDPOINTS
from shared.contracts.errors import BY_CODE, ErrorBody
from shared.contracts.topology import STREAMS, Stream, worker_consumer

_ERROR: Final = "ErrorBody"
_CHUNK_HEADERS: Final = (h.SESSION, h.SUBMISSION, h.CHUNK, h.FIRST, h.LAST, h.OPTIONS)
_DEAD_HEADERS: Final = (h.DEAD_REASON, h.DEAD_STREAM, h.DEAD_SUBJECT, h.DEAD_SEQUENCE)
_ABOUT: Final = """\
Everything that passes between Headrace's services, its workers and its users over NATS. Made from
shared/contracts by `python -m deploy.generate`; docs/worker-protocol.md and docs/permissions.md say more.

Bodies are JSON. An error is answered with NATS's service-error headers (Nats-Service-Error,
Nats-Service-Error-Code) and an ErrorBody. Binary values are base64. Fields with their default may be absent."""


def files() -> dict[str, str]:
    """docs/asyncapi.yaml."""
    banner = "# Made by `python -m deploy.generate` from shared/contracts: edit there.\n"
    text = yaml.dump(
        document(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110, default_flow_style=False
    )
    return {"docs/asyncapi.yaml": banner + text}


def document() -> dict[str, Any]:
    """The whole document."""
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    kinds: set[Any] = {ErrorBody}
    for endpoint in ENDPOINTS:
        kinds |= {endpoint.line or endpoint.request, endpoint.reply}
        _add_endpoint(endpoint, channels, operations)
    for channel in CHANNELS:
        kinds |= {kind for kind in (channel.message, channel.reply) if kind is not None}
        _add_channel(channel, channels, operations)
    channels["dead"] = _channel(
        "hr.dead.{stream}.{source}",
        ["Dead"],
        "Poison messages of a stream, with the reason in headers; long ones are cut. Each source has a share.",
    )
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Headrace on the bus",
            "version": __version__,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "bus": {
                "host": "127.0.0.1:4222",
                "protocol": "nats",
                "description": "NATS 2.15 or later with JetStream; user and password (docs/permissions.md).",
            }
        },
        "x-streams": {stream.name: _stream(stream) for stream in STREAMS},
        "channels": channels,
        "operations": operations,
        "components": {"messages": _messages(kinds), "schemas": schemas(sorted(kinds, key=lambda kind: kind.__name__))},
    }


# -- requests and commands


def _add_endpoint(one: Endpoint[Any, Any], channels: dict[str, Any], operations: dict[str, Any]) -> None:
    asked = "Chunk" if one.line else one.request.__name__
    address = f"{one.service}.{one.noun}.{one.verb}"
    channels[f"rpc.{address}"] = _channel(one.subject, [asked])
    reply = _reply(channels, one.reply.__name__)
    described = {"summary": one.summary, "x-kind": kind_of(one), **({"x-needs": one.needs} if one.needs else {})}
    operations[one.name] = {
        "action": "receive",
        **described,
        "channel": _ref("channels", f"rpc.{address}"),
        "messages": [_ref("channels", f"rpc.{address}", "messages", asked)],
        "reply": reply,
        "x-service": one.service,
    }
    if one.durable:
        about = "The durable form: the publish ack means that the bus has it; the outcome is an event."
        channels[f"command.{address}"] = _channel(f"hr.cmd.{{user}}.{address}", [asked], about)
        operations[f"{one.name}.command"] = {
            "action": "receive",
            **described,
            "channel": _ref("channels", f"command.{address}"),
            "messages": [_ref("channels", f"command.{address}", "messages", asked)],
            "x-service": one.service,
        }


def _reply(channels: dict[str, Any], name: str) -> dict[str, Any]:
    """What is answered on the asker's inbox."""
    channel = f"reply.{name}"
    channels.setdefault(channel, {"address": None, "messages": {key: _message(key) for key in (name, _ERROR)}})
    return {
        "address": {"location": "$message.header#/reply", "description": "The inbox that the request names."},
        "channel": _ref("channels", channel),
        "messages": [_ref("channels", channel, "messages", key) for key in (name, _ERROR)],
    }


# -- the rest


def _add_channel(one: Channel, channels: dict[str, Any], operations: dict[str, Any]) -> None:
    message = one.message.__name__ if one.message is not None else "Unread"
    channels[one.name] = _channel(one.subject, [message], one.about)
    if one.headers:
        channels[one.name]["x-headers"] = list(one.headers)
    for action, who in (("send", one.sender), ("receive", one.receiver)):
        operation = {
            "action": action,
            "channel": _ref("channels", one.name),
            "messages": [_ref("channels", one.name, "messages", message)],
            "x-service": who,
        }
        if one.reply is not None:
            operation["reply"] = _reply(channels, one.reply.__name__)
        operations[f"{one.name}.{action}"] = operation


def _channel(address: str, messages: list[str], about: str = "") -> dict[str, Any]:
    made: dict[str, Any] = {"address": address}
    if about:
        made["description"] = about
    made["messages"] = {name: _message(name) for name in messages}
    if names := re.findall(r"{(\w+)}", address):
        made["parameters"] = {name: {} for name in names}
    if held := next((stream.name for stream in STREAMS if any(_covers(one, address) for one in stream.subjects)), None):
        made["x-stream"] = held
    return made


def _covers(subject: str, address: str) -> bool:
    """Whether a stream's subject, with NATS's wildcards, takes what is sent to the address, for some of its parameters."""
    parts = (
        r"[^.]+" if part == "*" else ".+" if part == ">" else rf"({re.escape(part)}|{{\w+}})"
        for part in subject.split(".")
    )
    return re.fullmatch(r"\.".join(parts), address) is not None


def _ref(*path: str) -> dict[str, str]:
    return {"$ref": "#/" + "/".join(path)}


def _message(name: str) -> dict[str, str]:
    return _ref("components", "messages", name)


def _messages(kinds: set[Any]) -> dict[str, Any]:
    made = {
        kind.__name__: {"name": kind.__name__, "payload": _ref("components", "schemas", kind.__name__)}
        for kind in kinds
    }
    made |= {
        "Chunk": {
            "name": "Chunk",
            "contentType": "application/x-ndjson",
            "headers": _headers(_CHUNK_HEADERS, required=_CHUNK_HEADERS[:4]),
            "payload": {"type": "string", "description": "Newline-delimited JSON: each line a TaskSpec."},
        },
        "Dead": {
            "name": "Dead",
            "headers": _headers(_DEAD_HEADERS, required=_DEAD_HEADERS),
            "payload": {"description": "The body as it was, whatever it is."},
        },
        "Unread": {"name": "Unread", "payload": {"description": "Nobody reads it."}},
    }
    made[_ERROR]["description"] = "The code is one of: " + ", ".join(BY_CODE) + "."
    return dict(sorted(made.items()))


def _headers(names: tuple[str, ...], *, required: tuple[str, ...]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: {"type": "string"} for name in names},
        "required": list(required),
    }


def _stream(stream: Stream) -> dict[str, Any]:
    """In the server's form: durations in nanoseconds."""
    made = stream_config(stream)
    del made["name"]
    made["consumers"] = {consumer.name: _consumer(consumer_config(consumer)) for consumer in stream.consumers}
    if stream.name == "TASKS":
        made["consumers"]["workers-{partition}"] = _consumer(consumer_config(worker_consumer("{partition}")))
    return made


def _consumer(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key != "name"}


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks; every object written where it stands."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)
