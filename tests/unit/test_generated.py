"""What is generated is up to date, and the generator reads what it should."""

from pathlib import Path

import pytest

from deploy.generate import Missing, asyncapi, logs
from deploy.generate.__main__ import stale
from deploy.generate.channels import CHANNELS
from shared.contracts import compute, events, work
from shared.contracts.topology import STREAMS

ROOT = Path(__file__).parents[2]


def test_nothing_is_stale() -> None:
    assert not list(stale()), "run: python -m deploy.generate"
    logs.explained()


def _lines(source: str) -> list[logs.Line]:
    return list(logs.read(source, "services/broker/x.py"))


def test_a_log_call_is_found_wherever_it_stands() -> None:
    found = _lines(
        "def f():\n"
        "    log.info('one', a=1, exc_info=True)\n"
        "    def g():\n"
        "        tell = log.warning if x else log.info\n"
        "        tell('two', b=2)\n"
        "    g('not a key')\n"
    )
    assert found == [
        logs.Line("one", "info", "broker", ("a",)),
        logs.Line("two", "warning, info", "broker", ("b",)),
    ]


def test_a_key_glued_from_values_is_refused() -> None:
    with pytest.raises(Missing, match=r"services/broker/x\.py:1"):
        _lines("log.info(f'task.{verb}')")


def test_every_channel_of_a_stream_is_in_the_stream() -> None:
    document = asyncapi.document()
    streams = {name: channel.get("x-stream") for name, channel in document["channels"].items()}
    assert {streams[one.name] for one in CHANNELS} | {streams["dead"], streams["command.scheduler.session.create"]} == {
        *(stream.name for stream in STREAMS),
        None,
    }
    assert {name for name, stream in streams.items() if name.startswith("rpc.") and stream} == set()


def test_references_lead_somewhere() -> None:
    document = asyncapi.document()

    def walk(node: object) -> None:
        if isinstance(node, list):
            for part in node:
                walk(part)
        elif isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                found: object = document
                for step in node["$ref"].removeprefix("#/").split("/"):
                    assert isinstance(found, dict)
                    assert step in found, node["$ref"]
                    found = found[step]
            for part in node.values():
                walk(part)

    walk(document)


def test_schemas_say_what_the_decoder_enforces() -> None:
    schemas = asyncapi.document()["components"]["schemas"]
    assert schemas["TaskSpec"]["additionalProperties"] is False
    assert schemas["TaskSpec"]["properties"]["payload"]["default"] is None
    assert schemas["Completed"]["properties"]["type"] == {"enum": ["completed"]}
    names = {kind.__name__ for kind in (compute.Session, work.TaskBatch, work.Work, events.Frame)}
    assert names <= schemas.keys()
