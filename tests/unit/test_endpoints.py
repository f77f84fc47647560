"""The table of endpoints against what the services register, and against what the contracts say in words."""

import re
import typing
from pathlib import Path
from typing import Any

from services.broker.offers.decide import Place
from services.broker.offers.handlers import Handlers
from services.scheduler.compute.lists.states import StatePages
from services.scheduler.compute.results.deletions import Deletions
from services.scheduler.compute.results.handlers import Results
from services.scheduler.compute.results.imports import Imports
from services.scheduler.compute.results.waits import Waits
from services.scheduler.compute.sessions.handlers import Sessions
from services.scheduler.compute.submissions.handlers import Submissions
from services.scheduler.compute.subtasks.handlers import Subtasks
from services.scheduler.compute.tasks.changes import Changes
from services.scheduler.compute.tasks.handlers import Tasks
from services.scheduler.compute.tasks.log_handlers import Logs
from services.scheduler.compute.tasks.queries import Queries
from services.scheduler.dispatch.handlers import Partitions
from shared.contracts import compute, execution, work
from shared.contracts.endpoints import BROKER, ENDPOINTS, HEALTH, SCHEDULER
from shared.runtime.clock import SystemClock
from shared.service.health import serve_health

ROOT = Path(__file__).parents[2]


class Recorder:
    """Takes the place of a Service: notes what is registered."""

    def __init__(self, name: str) -> None:
        self.name, self.version = name, "0"
        self.seen: dict[str, tuple[Any, Any, bool]] = {}
        self.places: dict[str, Any] = {}

    def reads(self, noun: str, verb: str, request: Any, handler: Any, *, at: Any = None, **_: Any) -> None:
        self.places[f"{self.name}.{noun}.{verb}"] = at
        self._note(noun, verb, request, handler, durable=False)

    def writes(self, noun: str, verb: str, request: Any, handler: Any, *, durable: bool = True, **_: Any) -> None:
        self._note(noun, verb, request, handler, durable=durable)

    def _note(self, noun: str, verb: str, request: Any, handler: Any, *, durable: bool) -> None:
        name = f"{self.name}.{noun}.{verb}"
        assert name not in self.seen, f"{name} is registered twice"
        self.seen[name] = (request, typing.get_type_hints(handler)["return"], durable)


def table(endpoints: Any) -> dict[str, tuple[Any, Any, bool]]:
    return {one.name: (one.request, one.reply, one.durable) for one in endpoints}


def test_the_scheduler_registers_what_the_table_says() -> None:
    service: Any = Recorder("scheduler")
    nothing: Any = None
    Partitions(nothing, nothing, nothing, nothing).register(service)
    Sessions(*7 * (nothing,)).register(service)
    Changes(nothing, nothing, nothing).register(service)
    Results(nothing, nothing, nothing).register(service)
    Imports(nothing, nothing, nothing, ()).register(service)
    Deletions(nothing, nothing).register(service)
    Waits(nothing, nothing).register(service)
    Submissions(*5 * (nothing,)).register(service)
    Tasks(nothing, nothing).register(service)
    Queries(nothing, nothing).register(service)
    Logs(nothing).register(service)
    Subtasks(nothing, nothing).register(service)
    StatePages(nothing).register(service)
    assert service.seen == table(SCHEDULER)


def test_a_broker_registers_what_the_table_says_at_its_site() -> None:
    service: Any = Recorder("broker")
    nothing: Any = None
    place = Place("site-x", 1, 1, frozenset(), 1.0, 1.0)
    Handlers(nothing, nothing, nothing, nothing, place, nothing).register(service)
    assert service.seen == table(BROKER)
    for one in BROKER:
        assert service.places[one.name].subject == one.subject.replace("{site}", "site-x")
    assert service.places["broker.offer.request"].group == "broker-site-x", "one of each site answers"


def test_the_words_of_execution_agree_with_the_table() -> None:
    rows = re.findall(r"\| `(hr\.[^`]+)`\s*\| (\w+)\s*\| (\w+)", execution.__doc__ or "")
    said = {(subject.replace("<", "{").replace(">", "}"), request, reply) for subject, request, reply in rows}
    assert said == {(one.subject, one.request.__name__, one.reply.__name__) for one in BROKER}


def test_every_service_answers_for_its_health() -> None:
    for one in HEALTH:
        service: Any = Recorder(one.service)
        serve_health(service, {}, SystemClock())
        assert service.seen == table([one])
        app = (ROOT / "services" / one.service / "app.py").read_text(encoding="utf-8")
        assert "serve_health(" in app


def test_nothing_is_registered_that_the_table_does_not_know() -> None:
    found = {
        f"{path.relative_to(ROOT).parts[1]}.{noun}.{verb}"
        for path in (ROOT / "services").rglob("*.py")
        for noun, verb in re.findall(r'\.(?:reads|writes)\(\s*"(\w+)",\s*"(\w+)"', path.read_text(encoding="utf-8"))
    }
    assert found == {one.name for one in ENDPOINTS} - {one.name for one in HEALTH}


def test_the_words_agree_with_the_table() -> None:
    """compute's docstring lists what users ask, work's names what workers ask."""
    rows = re.findall(r"\| `hr\.rpc\.([\w.]+)`\s*\| (\w+).*?\| (\w+)\s*\|", compute.__doc__ or "")
    said = {name: (request, reply) for name, request, reply in rows}
    asked = {
        one.name: ("TaskSpec" if one.line else one.request.__name__, one.reply.__name__)
        for one in SCHEDULER
        if f"hr.rpc.{one.name}" not in (work.__doc__ or "")
    }
    assert said == asked
