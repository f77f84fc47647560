"""Real servers for the tests, started once per session and only if a test asks.

In this order: addresses from the environment (HEADRACE_TEST_NATS_URL and so on, see tests/support/servers.py);
HEADRACE_TEST_BACKEND=containers: Docker and the official images; otherwise the embedded stack in a folder of its own.
"""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from deploy.local import database as databases
from deploy.local.stack import Stack
from tests.support import servers as backends
from tests.support.buckets import Bucket, new_bucket
from tests.support.databases import Database
from tests.support.folders import folder
from tests.support.processes import Processes
from tests.support.servers import Servers

FIRST = (
    "e2e/test_main_job.py",
    "integration/test_chain_faults.py",
    "integration/test_objects_s3.py",
    "integration/test_offers.py",
    "chaos/test_supervisor.py",
    "property/test_operations.py",
    "integration/test_gateway_http.py",
    "chaos/test_kills.py",
    "integration/test_compute_lists.py",
    "property/test_explorer.py",
    "integration/test_supervisor.py",
    "integration/test_edge_compute.py",
    "chaos/test_archive_kills.py",
    "integration/test_gateway_values.py",
    "chaos/test_servers.py",
    "integration/test_archive.py",
    "chaos/test_network.py",
)
"""Files that take long. A file is one process's: one that begins last keeps the others waiting. Those that start whole systems
come between others, so that few are under way at once."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {Path(__file__).parent / name: number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: place.get(item.path, len(FIRST)))


@pytest.fixture
def counted(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Tells how much was tried: a line at the end of the run, whichever process ran the test."""
    return lambda line: record_property("counted", line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = terminalreporter.getreports("passed")
    lines = sorted({str(line) for report in reports for name, line in report.user_properties if name == "counted"})
    if lines:
        terminalreporter.section("counted")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder for a stack. Not pytest's own: root's PostgreSQL runs as somebody else, who could not pass through it."""
    with folder() as path:
        yield path


@pytest.fixture(scope="session")
async def servers() -> AsyncIterator[Servers]:
    """The three servers, as their administrator sees them."""
    given = await backends.of_environment()
    if given is not None:
        yield given
    elif os.environ.get("HEADRACE_TEST_BACKEND", "embedded") == "containers":
        from tests.support import containers

        async with containers.run() as started:
            yield started
    else:
        with folder() as path:
            async with Stack(path, throwaway=True) as stack:
                yield backends.of_stack(stack)


@pytest.fixture
async def database(servers: Servers) -> AsyncIterator[Database]:
    """A database for this test alone."""
    made = Database(servers, f"test_{uuid4().hex[:16]}")
    admin = await asyncpg.connect(servers.postgres_url)
    try:
        await databases.create(admin, made.name)
        inside = await asyncpg.connect(made.admin_url)
        try:
            await databases.schemas(inside)
        finally:
            await inside.close()
        yield made
        await databases.drop(admin, made.name)
    finally:
        await admin.close()


@pytest.fixture
async def nats(servers: Servers) -> Servers:
    """The bus without any stream. Connect with `BusSettings(**nats.bus("scheduler"))` or `await nats.connect()`."""
    client = await servers.connect()
    try:
        jetstream = client.jetstream()
        for stream in await jetstream.streams_info():
            assert stream.config.name is not None
            await jetstream.delete_stream(stream.config.name)
    finally:
        await client.close()
    return servers


@pytest.fixture
def nats_url(nats: Servers) -> str:
    return nats.nats_url


@pytest.fixture
async def s3(servers: Servers) -> AsyncIterator[Bucket]:
    async with new_bucket(servers) as made:
        yield made


@pytest.fixture
async def system(home: Path) -> AsyncIterator[Processes]:
    """A stack of this test's own, to start services and workers on, and to break."""
    async with Processes(home) as processes:
        yield processes
