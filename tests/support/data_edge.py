"""The HTTP edge with set answers, as the tests of the commands about data use it: fixtures."""

import threading
from collections.abc import Iterator

import pytest

from shared.client import downloads, http, polling, uploads
from shared.runtime.retry import Backoff
from tests.support.facility import Edge, Facility


@pytest.fixture
def edge(monkeypatch: pytest.MonkeyPatch) -> Iterator[Edge]:
    for module, name in ((http, "BACKOFF"), (polling, "INTERVAL"), (uploads, "BACKOFF"), (downloads, "BACKOFF")):
        monkeypatch.setattr(module, name, Backoff(first=0))
    made = Edge()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("HEADRACE_HTTP_URL", made.url)
    monkeypatch.setenv("HEADRACE_TOKEN", "secret")
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


@pytest.fixture
def facility(edge: Edge) -> Facility:
    return Facility(edge)
