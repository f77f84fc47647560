"""The main job: its products are right, a second run goes on from the first, and nothing that dies meanwhile changes them."""

import asyncio
import io
import math
import re
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from astropy.table import Table
from nats.aio.msg import Msg

from deploy.demo.job.files import fits_files
from deploy.local.stack import Stack
from tests.support.main_job import Made, MainJob
from tests.support.reference import VALUES, reference_rows, unreadable
from tests.support.servers import of_stack, settled

FILES = 58


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, Made]:
    """The first run's products, kept for the others to be compared with."""
    return {}


async def test_the_products_are_what_astropy_says(
    stack: Stack, main_job: MainJob, undisturbed: dict[str, Made]
) -> None:
    made = await main_job()
    undisturbed["made"] = made
    table = Table.read(io.BytesIO(made.catalogue), format="ascii.ecsv")
    files = fits_files()
    assert len(files) == FILES
    wanted = reference_rows(files)
    assert len(table) == len(wanted)
    for row, reference in zip(table, wanted, strict=True):
        assert (row["file"], row["hdu"], row["kind"]) == (reference["file"], reference["hdu"], reference["kind"])
        for name in VALUES:
            assert _same(row[name], reference[name]), (row["file"], row["hdu"], name, row[name], reference[name])
    assert [one["file"] for one in table.meta["unreadable"]] == unreadable(files)
    assert len(table.meta["unreadable"]) == 2
    assert made.sheet.startswith(b"\x89PNG")
    for text in ("58 files, 1,887,957 bytes", "site-a", "holds all 1.9 MB", "59 tasks", "2 files cannot be read"):
        assert text in made.said


async def test_the_example_in_the_readme_runs(stack: Stack, tmp_path: Path) -> None:
    """As somebody types it who has just started Headrace."""
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (example,) = (
        code for code in re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S) if "import Headrace" in code
    )
    assert len([line for line in example.splitlines() if line]) <= 11
    (tmp_path / ".headrace").symlink_to(stack.home.path)
    done = await asyncio.create_subprocess_exec(
        sys.executable, "-c", example, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await done.communicate()
    assert (out.decode(), done.returncode) == ("[b'0', b'1', b'2']\n", 0), err.decode()


def _same(value: Any, reference: Any) -> bool:
    if reference is None:
        return bool(value is None or getattr(value, "mask", False))
    return math.isclose(float(value), float(reference), rel_tol=1e-9, abs_tol=1e-9)


async def test_a_second_run_goes_on_from_the_first(main_job: MainJob, undisturbed: dict[str, Made]) -> None:
    again = await main_job()
    assert "is there already: datasetOnArchiveDisk" in again.said
    assert again[:2] == undisturbed["made"][:2]


Strike = Callable[[Stack], Awaitable[None]]


def killing(name: str) -> Strike:
    async def strike(stack: Stack) -> None:
        await stack.processes[name].kill()  # its keeper starts it again

    return strike


async def nats_dies(stack: Stack) -> None:
    await stack.kill_server("nats")
    await stack.start_server("nats")


@pytest.mark.parametrize(
    ("subject", "strike"),
    [
        ("hr.step.archiver.post_upload.upload_to_archivable_storage", killing("archiver")),
        ("hr.step.archiver.archival.validate_datablocks", killing("archiver")),
        ("hr.evt.archive.changed.*", killing("gateway")),
        ("hr.evt.offer.offered.*", killing("broker-a")),
        ("hr.step.retriever.retrieval.download_datablocks", killing("retriever")),
        ("hr.evt.retrieval.changed.*", killing("retriever")),
        ("hr.evt.retrieval.changed.*", killing("scheduler")),
        ("hr.report.site-a", killing("scheduler")),
        ("hr.evt.task.changed.*", killing("pilot-a-1")),
        ("hr.evt.retrieval.changed.*", nats_dies),
        ("hr.step.archiver.archival.move_datablocks_to_lts", nats_dies),
    ],
    ids=[
        "archiver-packs",
        "archiver-validates",
        "gateway-while-archiving",
        "broker-has-offered",
        "retriever-downloads",
        "retriever-produces",
        "scheduler-releases",
        "scheduler-completes",
        "pilot-works",
        "nats-while-retrieving",
        "nats-while-archiving",
    ],
)
async def test_what_dies_meanwhile_changes_nothing(
    stack: Stack, main_job: MainJob, undisturbed: dict[str, Made], pid: str, subject: str, strike: Strike
) -> None:
    """Struck at the first message on `subject`, in the middle of what it tells."""
    struck = asyncio.Event()
    bus = await of_stack(stack).connect()

    async def heard(_: Msg) -> None:
        if not struck.is_set():
            struck.set()
            striking.append(asyncio.create_task(strike(stack)))

    striking: list[asyncio.Task[None]] = []
    try:
        await bus.subscribe(subject, cb=heard)
        await settled(bus)
        made = await main_job()
        assert struck.is_set()
        await asyncio.gather(*striking)
    finally:
        await bus.close()
    assert made[:2] == undisturbed["made"][:2]


async def test_nothing_is_left_behind(stack: Stack) -> None:
    """After all of this: no message that nobody could handle, nothing in the landing zones and in staging."""
    client = await of_stack(stack).connect()
    try:
        assert (await client.jetstream().stream_info("DEAD")).state.messages == 0
    finally:
        await client.close()
    async with of_stack(stack).s3_client() as s3:
        for prefix in ("landing/", "staging/"):
            found = await s3.list_objects_v2(Bucket="headrace", Prefix=prefix)
            assert [one["Key"] for one in found.get("Contents", ())] == []
