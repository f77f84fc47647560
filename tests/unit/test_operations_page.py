"""docs/operations.md names every setting, and none that there is not."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from services.archiver.settings import Settings as Archiver
from services.broker.settings import Settings as Broker
from services.gateway.identity.oidc import OidcSettings
from services.gateway.settings import Settings as Gateway
from services.retriever.settings import Settings as Retriever
from services.scheduler.settings import Settings as Scheduler
from shared.client import address
from shared.objects.settings import ObjectsSettings
from shared.runtime.settings import PREFIX, ProcessSettings
from shared.worker.settings import Settings as Worker

ROOT = Path(__file__).parents[2]
KINDS = (ProcessSettings, Gateway, OidcSettings, ObjectsSettings, Scheduler, Archiver, Retriever, Broker, Worker)


def variables(kind: Any) -> Iterator[str]:
    for field in msgspec.structs.fields(kind):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            yield from variables(field.type)
        else:
            yield PREFIX + field.name.upper()


def test_every_setting_is_named() -> None:
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    known = {name for kind in KINDS for name in variables(kind)} | {address.URL, address.TOKEN}
    assert set(re.findall(r"HEADRACE_[A-Z0-9_]+", text)) == known


def test_every_log_event_named_exists() -> None:
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    keys = set(re.findall(r"^\| `([\w.]+)`", (ROOT / "docs/log-events.md").read_text(encoding="utf-8"), re.M))
    alarms = re.search(r"Worth an alarm:(.+?)\n\n", text, re.S)
    assert alarms is not None
    named = set(re.findall(r"`(\w+\.\w+)`", alarms[1]))
    assert named
    assert named <= keys
