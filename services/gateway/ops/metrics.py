"""The figures of all services and streams in Prometheus's text form, version 0.0.4."""

from collections.abc import Iterable
from typing import Any

from services.gateway.ops.system_status import StreamState
from shared.contracts.health import Health

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Sample = tuple[dict[str, str], float]


def text(stats: list[dict[str, Any]], streams: list[StreamState], health: list[Health]) -> str:
    """`stats`: the answers to `$SRV.STATS`, one of each process."""
    ends = [
        ({"service": one["name"], "process": one["id"], "endpoint": end["name"]}, end)
        for one in stats
        for end in one.get("endpoints") or []
    ]
    consumers = [({"stream": s.name, "consumer": c.name}, c) for s in streams for c in s.consumers]
    parts = [
        family("headrace_service_up", "gauge", "1 if the service is well.", ((_of(h), float(h.ok)) for h in health)),
        family(
            "headrace_requests_total", "counter", "Requests answered.", ((of, end["num_requests"]) for of, end in ends)
        ),
        family(
            "headrace_request_errors_total",
            "counter",
            "Requests answered with an error.",
            ((of, end["num_errors"]) for of, end in ends),
        ),
        family(
            "headrace_request_seconds_total",
            "counter",
            "Seconds spent on requests.",
            ((of, end["processing_time"] / 1e9) for of, end in ends),
        ),
        family(
            "headrace_stream_messages",
            "gauge",
            "Messages in a stream.",
            (({"stream": s.name}, s.messages) for s in streams),
        ),
        family(
            "headrace_stream_bytes", "gauge", "Bytes in a stream.", (({"stream": s.name}, s.bytes) for s in streams)
        ),
        family(
            "headrace_consumer_pending",
            "gauge",
            "Messages not yet delivered.",
            ((of, c.pending) for of, c in consumers),
        ),
        family(
            "headrace_consumer_unacknowledged",
            "gauge",
            "Messages delivered and not acknowledged.",
            ((of, c.unacknowledged) for of, c in consumers),
        ),
    ]
    return "".join(parts)


def family(name: str, kind: str, explained: str, samples: Iterable[Sample]) -> str:
    """One metric with its samples."""
    lines = [f"# HELP {name} {explained}", f"# TYPE {name} {kind}"]
    for labels, value in samples:
        text = ",".join(f'{key}="{_escaped(label)}"' for key, label in labels.items())
        lines.append(f"{name}{{{text}}} {value:.15g}")
    return "\n".join(lines) + "\n"


def _of(health: Health) -> dict[str, str]:
    return {"service": health.service}


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
