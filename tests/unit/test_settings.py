"""Settings: from the environment only, each error with the variable's name."""

import msgspec
import pytest

from services.archiver.settings import PackSettings
from services.retriever.settings import KeepSettings
from shared.runtime.settings import load


class Inner(msgspec.Struct, frozen=True):
    nats_url: str = "nats://127.0.0.1:4222"


class Example(msgspec.Struct, frozen=True):
    bus: Inner
    http_port: int
    lease_seconds: float = 15.0
    verbose: bool = False


def test_what_is_set_is_read_and_the_rest_has_its_default() -> None:
    env = {"HEADRACE_HTTP_PORT": "80", "HEADRACE_NATS_URL": "nats://x:1", "HEADRACE_VERBOSE": "true", "HTTP_PORT": "9"}
    assert load(Example, env) == Example(Inner("nats://x:1"), 80, 15.0, True)


@pytest.mark.parametrize("seconds", ["0", "901", "86400"])
def test_addresses_of_object_storage_are_valid_for_15_minutes_at_most(seconds: str) -> None:
    for kind, name in ((PackSettings, "HEADRACE_UPLOAD_SECONDS"), (KeepSettings, "HEADRACE_DOWNLOAD_SECONDS")):
        with pytest.raises(SystemExit, match=name):
            load(kind, {name: seconds})
        load(kind, {name: "900"})


@pytest.mark.parametrize(
    ("env", "received"),
    [
        ({}, "HEADRACE_HTTP_PORT is not set"),
        ({"HEADRACE_HTTP_PORT": "eighty"}, "HEADRACE_HTTP_PORT: "),
        ({"HEADRACE_HTTP_PORT": "80", "HEADRACE_LEASE_SECONDS": "soon"}, "HEADRACE_LEASE_SECONDS: "),
    ],
)
def test_an_error_names_the_variable(env: dict[str, str], received: str) -> None:
    with pytest.raises(SystemExit, match=received):
        load(Example, env)
