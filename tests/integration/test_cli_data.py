"""The command line as processes of their own, against the whole system: a folder archived and retrieved, values up and down."""

import asyncio
import hashlib
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from deploy.local.s3 import BUCKET
from services.gateway.routes import ROUTES
from tests.support.datasets import DATA, Datasets, flip
from tests.support.edge import Edge
from tests.support.folders import folder
from tests.support.json_texts import texts
from tests.support.processes import Processes
from tests.support.servers import of_stack
from tests.support.wait import wait_until
from tests.support.wire import example

NAMED = re.compile(r"{[^}]+}")
LARGE = 1_300_000
"""Bytes; more than the 1 MiB that a datablock aims at, so that there are two."""


class Ended(msgspec.Struct, frozen=True):
    code: int
    out: str
    err: str

    @property
    def received(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


class Cli:
    def __init__(self, system: Processes) -> None:
        self._env = os.environ | {"HEADRACE_HTTP_URL": system.http, "HEADRACE_TOKEN": system.token}

    async def start(self, *arguments: object) -> asyncio.subprocess.Process:
        command = (sys.executable, "-m", "shared.client.cli", *map(str, arguments))
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(*command, env=self._env, stdout=pipe, stderr=pipe)

    async def __call__(self, *arguments: object) -> Ended:
        process = await self.start(*arguments)
        out, err = await process.communicate()
        assert process.returncode is not None
        return Ended(process.returncode, out.decode(), err.decode())


@pytest.fixture(scope="module")
async def shared_system() -> AsyncIterator[Processes]:
    with folder() as home:
        async with Processes(home) as processes:
            await processes.start("archiver", "retriever", "scheduler", "gateway", "broker", workers=0)
            yield processes


@pytest.fixture
def cli(shared_system: Processes) -> Cli:
    return Cli(shared_system)


@pytest.fixture
async def edge(shared_system: Processes) -> AsyncIterator[Edge]:
    async with Edge(shared_system.http, shared_system.token) as edge:
        yield edge


@pytest.fixture
def datasets(edge: Edge) -> Datasets:
    return Datasets(edge)


@pytest.fixture
def pid() -> str:
    return f"test/{uuid4().hex[:12]}"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    noise = b"".join(hashlib.sha256(n.to_bytes(4, "big")).digest() for n in range(LARGE // 32))
    for path, data in {
        "a/large.fits": noise,
        "deep/er/still/ü é %.txt": b"small",
        "deep/empty": b"",
        "long/" + "n" * 180 + ".dat": b"x" * 5000,
        "☉.fits": b"sun" * 100,
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return root


def tree(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


async def test_a_folder_goes_in_and_the_same_comes_out(cli: Cli, pid: str, source: Path, tmp_path: Path) -> None:
    (source / "link").symlink_to(source / "a/large.fits")
    stored = (await cli("archive", pid, source, "--name", "First light", "--json")).received
    assert stored["links"] == [str(source / "link")]
    (source / "link").unlink()
    assert stored["dataset"]["datasetName"] == "First light"
    assert stored["dataset"]["datasetlifecycle"]["archiveStatusMessage"] == "datasetOnArchiveDisk"
    assert len(stored["datablocks"]) == 2
    again = await cli("archive", pid, source)
    assert again.code == 0, again.err
    assert "is on long-term storage already" in again.out
    assert again.err == "", "no bars where nobody looks"

    to = tmp_path / "back"
    back = (await cli("retrieve", pid, "--to", to, "--json")).received
    assert (back["written"], back["unchanged"], back["datablocks"]) == (5, 0, 2)
    assert tree(to) == tree(source)
    (to / "deep/empty").write_bytes(b"not any more")
    (to / "☉.fits").unlink()
    refused = await cli("retrieve", pid, "--to", to)
    assert refused.code == 1
    assert "deep/empty" in refused.err
    assert (to / "deep/empty").read_bytes() == b"not any more"
    mended = (await cli("retrieve", pid, "--to", to, "--force", "--keep-tars", "--json")).received
    assert (mended["written"], mended["unchanged"]) == (2, 3)
    tars = {path.name: path for path in to.glob("*.tar")}
    assert {name: tars[name].stat().st_size for name in tars} == {
        block["archiveId"].rpartition("/")[2]: block["packedSize"] for block in stored["datablocks"]
    }
    for tar in tars.values():
        tar.unlink()
    assert tree(to) == tree(source)

    listed = (await cli("retrieve", pid, "--json")).received
    assert all(block["url"].startswith("http") for block in listed["datablocks"])
    shown = await cli("dataset", pid)
    assert "is on long-term storage" in shown.out
    assert pid in (await cli("datasets")).out


async def test_a_call_that_was_broken_off_goes_on(
    shared_system: Processes, cli: Cli, edge: Edge, pid: str, source: Path, tmp_path: Path
) -> None:
    await shared_system.stop_server("s3")  # so that it cannot be done before it is killed
    process = await cli.start("archive", pid, source)

    async def registered() -> bool:
        answer = await edge.ask("GET", f"{DATA}/datasets/{pid.replace('/', '%2F')}")
        return answer.status_code == 200 and answer.json()["numberOfFiles"] == 5

    await shared_system.wait_until(registered, timeout=30)
    process.kill()
    await process.communicate()
    await shared_system.start_server("s3")
    handed_in = (await cli("archive", pid, source, "--no-wait", "--json")).received
    assert len(handed_in["datablocks"]) == 2
    stored = (await cli("archive", pid, source, "--json")).received
    assert stored["dataset"]["datasetlifecycle"]["retrievable"]

    # A download too: of one datablock everything is there, of the other something is missing. A file of the user's own stays.
    to = tmp_path / "back"
    (await cli("retrieve", pid, "--to", to, "--json")).received  # noqa: B018 (told checks the exit code)
    (to / "a/large.fits").unlink()
    (to / "mine.tar.part").write_bytes(b"mine")
    back = (await cli("retrieve", pid, "--to", to, "--json")).received
    assert (back["written"], back["unchanged"], back["datablocks"]) == (1, 4, 2)
    assert tree(to) == tree(source) | {"mine.tar.part": b"mine"}


FILES = 300


async def test_an_upload_that_was_killed_sends_no_file_twice(
    shared_system: Processes, cli: Cli, datasets: Datasets, pid: str, tmp_path: Path
) -> None:
    source = tmp_path / "many"
    source.mkdir()
    for n in range(FILES):
        (source / f"{n:03}.dat").write_bytes(os.urandom(n))
    process = await cli.start("archive", pid, source)

    async def there() -> list[str]:
        """Whole ones: of a request whose body never came, because its sender was killed, SeaweedFS keeps an empty object."""
        found = await datasets.find(pid)
        objects = await stored(shared_system, f"landing/{found['id']}/") if found else {}
        return [key for key, size in objects.items() if size == int(Path(key).stem)]

    async def some() -> bool:
        return len(await there()) >= 20 or process.returncode is not None

    await wait_until(some, every=0.01)
    process.kill()
    await process.communicate()
    before = len(await there())
    changed = before < FILES  # otherwise it is being packed already, and nothing of it may change
    if changed:
        (source / "299.dat").write_bytes(b"changed since")
    again = (await cli("archive", pid, source, "--json")).received
    assert again["sent"] <= FILES - before + changed
    assert again["dataset"]["datasetlifecycle"]["archiveStatusMessage"] == "datasetOnArchiveDisk"
    back = (await cli("retrieve", pid, "--to", tmp_path / "back", "--json")).received
    assert back["written"] == FILES
    assert tree(tmp_path / "back") == tree(source)


async def test_a_dataset_that_cannot_be_finished_is_abandoned(
    cli: Cli, datasets: Datasets, pid: str, source: Path
) -> None:
    await datasets.register(pid, {"deep/empty": b"", "other": b"1"})
    assert (await cli("archive", pid, source)).code == 1
    for _ in range(2):
        gone = (await cli("dataset", "abandon", pid, "--json")).received
        assert (gone["pid"], gone["numberOfFiles"]) == (pid, 2)
    stored = (await cli("archive", pid, source, "--json")).received
    assert stored["dataset"]["datasetlifecycle"]["archiveStatusMessage"] == "datasetOnArchiveDisk"
    late = await cli("dataset", "abandon", pid)
    assert (late.code, "only before it is archived" in " ".join(late.err.split())) == (1, True)


async def test_all_names_that_are_refused_are_said_before_a_byte_is_sent(
    cli: Cli, datasets: Datasets, pid: str, source: Path
) -> None:
    for name in ("bad\n", "\u202etxt.exe", "x\x9b"):
        (source / name).write_bytes(b"")
    refused = await cli("archive", pid, source)
    received = " ".join(refused.err.split())
    assert refused.code == 2
    assert all(part in received for part in ("control character (U+000A)", "(U+202E)", "(U+009B)")), received
    assert await datasets.find(pid) is None
    for name in ("bad\n", "\u202etxt.exe", "x\x9b"):
        (source / name).unlink()
    for name in (
        "Screenshot 2026-03-01 at 9.41.00\u202fPM.png",
        "\U0001f469\u200d\U0001f52c\U0001fae9",
        "می\u200cخواهم",
        "観\u3000測",
    ):
        (source / name).write_bytes(name.encode())
    await cli("archive", pid, source)
    to = source.parent / "back"
    (await cli("retrieve", pid, "--to", to, "--json")).received  # noqa: B018
    assert tree(to) == tree(source)


async def test_the_upload_of_somebody_who_left_too_early(cli: Cli, datasets: Datasets, pid: str, source: Path) -> None:
    """Registered, uploaded in part, and said to be whole: the archiver misses files, and the next call brings them."""
    files = dict(sorted(tree(source).items()))
    await datasets.register(pid, files)
    await datasets.upload(pid, {"deep/empty": b""})
    await datasets.finish(pid)
    await datasets.until(pid, "missingFilesError")
    stored = (await cli("archive", pid, source, "--json")).received
    assert stored["dataset"]["datasetlifecycle"]["archiveStatusMessage"] == "datasetOnArchiveDisk"


async def test_other_files_under_the_same_pid(cli: Cli, datasets: Datasets, pid: str, source: Path) -> None:
    await datasets.register(pid, {"deep/empty": b"", "other": b"1"})
    foreign = await cli("archive", pid, source)  # not uploaded yet
    assert foreign.code == 1
    assert "with other files" in foreign.err
    assert (await datasets.get(pid))["numberOfFiles"] == 2, "nothing was added to it"

    mine = f"{pid}-b"
    (await cli("archive", mine, source, "--json")).received  # noqa: B018
    (source / "☉.fits").write_bytes(b"moon" * 75)
    changed = await cli("archive", mine, source, "--json")
    assert changed.code == 1
    assert "its '☉.fits' has other content" in json.loads(changed.err)["detail"]
    named = await cli("archive", mine, source, "--name", "another")
    assert named.code == 1
    assert "with --name ''" in named.err


# -- values of results


async def stored(system: Processes, prefix: str) -> dict[str, int]:
    """The objects with that prefix, and their bytes."""
    async with of_stack(system.stack).s3_client() as s3:
        found = await s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix)  # the first 1,000
        return {entry["Key"]: entry["Size"] for entry in found.get("Contents", ())}


async def test_what_is_damaged_is_named_the_rest_comes_back_and_archiving_repairs_it(
    shared_system: Processes, cli: Cli, edge: Edge, datasets: Datasets, pid: str, tmp_path: Path
) -> None:
    """A flip, a truncation, a loss and a swap on long-term storage. Nothing was recorded: everybody went on saying that the dataset
    is there, validated; what was whole was refused too; and `archive` from the source said `already`."""
    source, names = tmp_path / "source", ["flipped", "gone", "kept", "short", "swapped"]
    source.mkdir()
    for number, name in enumerate(names):
        (source / name).write_bytes(bytes([number]) * 700_000)
    stored = (await cli("archive", pid, source, "--json")).received
    lts = shared_system.stack.home.path / "lts/data"
    tars = [lts / block["archiveId"] for block in stored["datablocks"]]
    assert len(tars) == len(names)
    before = [tar.read_bytes() for tar in tars]
    flip(tars[0])
    tars[1].unlink()
    os.truncate(tars[3], 1000)
    tars[4].write_bytes(before[2])

    back = await cli("retrieve", pid, "--to", tmp_path / "back", "--json")
    assert back.code == 1
    received = json.loads(back.out)
    assert (received["retrieval"]["status"], received["retrieval"]["damaged"], received["datablocks"]) == (
        "partial",
        4,
        1,
    )
    assert sorted(received["missing"]) == ["flipped", "gone", "short", "swapped"]
    assert tree(tmp_path / "back") == {"kept": (source / "kept").read_bytes()}

    seen = (await cli("dataset", pid, "--json")).received
    lifecycle = seen["dataset"]["datasetlifecycle"]
    assert (lifecycle["archivable"], lifecycle["retrievable"]) == (True, True), "SciCat's system error"
    assert lifecycle["archiveStatusMessage"] == "scheduleArchiveJobFailed"
    assert lifecycle["retrieveStatusMessage"] == "datasetRetrievalFailed"
    assert lifecycle["archiveReturnMessage"]["message"] == "4 of 5 datablocks are damaged on long-term storage"
    assert "4 of 5 datablocks are damaged" in seen["summary"]
    reasons = " ".join(seen["reasons"][:4])
    assert all(part in reasons for part in ("_0 hashes to", "_1 is not on lts-a", "_3 has 1000 bytes", "_4 hashes to"))
    assert " 4 " in next(line for line in (await cli("datasets")).out.splitlines() if pid in line)
    quoted = pid.replace("/", "%2F")
    blocks = (await edge.get(f"{DATA}/datasets/{quoted}/datablocks"))["items"]
    assert [block["damage"] and block["damage"]["kind"] for block in blocks] == [
        *("checksum", "missing", None, "size", "checksum")
    ]
    assert [block["status"] for block in blocks] == ["damaged", "damaged", "validated", "damaged", "damaged"]
    assert blocks[3]["damage"]["foundSize"] == 1000
    located = await edge.get(f"{DATA}/locate/{quoted}")
    assert (located["storages"], located["damaged"]) == ([], 4)
    offers = await cli("offers", pid)
    assert "is damaged on long-term storage" in offers.out + offers.err

    other = tmp_path / "other"
    other.mkdir()
    for name in names:
        (other / name).write_bytes(b"of another night")
    assert (await cli("archive", pid, other)).code == 1
    kept = tars[2].stat().st_mtime_ns
    repaired = (await cli("archive", pid, source, "--json")).received
    assert repaired["repaired"] == [tars[n].name for n in (0, 1, 3, 4)]
    assert [tar.read_bytes() for tar in tars] == before
    assert tars[2].stat().st_mtime_ns == kept, "what was whole was not touched"
    lifecycle = repaired["dataset"]["datasetlifecycle"]
    assert (lifecycle["archivable"], lifecycle["retrievable"]) == (False, True)
    assert (lifecycle["archiveStatusMessage"], lifecycle["archiveReturnMessage"]) == ("datasetOnArchiveDisk", {})
    assert [block["status"] for block in repaired["datablocks"]] == ["validated"] * 5
    assert [block["damage"] for block in repaired["datablocks"]] == [None] * 5
    assert (await edge.get(f"{DATA}/locate/{quoted}"))["storages"] == ["lts-a"]
    assert "already" in (await cli("archive", pid, source)).out
    (await cli("retrieve", pid, "--to", tmp_path / "back", "--json")).received  # noqa: B018 (told checks the exit code)
    assert tree(tmp_path / "back") == tree(source)


async def test_values_go_up_and_come_down(shared_system: Processes, cli: Cli, edge: Edge, tmp_path: Path) -> None:
    session = str(await edge.session())
    large, small = os.urandom(LARGE), b"small"
    (tmp_path / "large").write_bytes(large)
    (tmp_path / "small").write_bytes(small)
    made = (await cli("upload", tmp_path / "large", tmp_path / "small", "--session", session, "--json")).received[
        "results"
    ]
    assert [(one["name"], one["checksum"]) for one in made] == [
        (name, hashlib.sha256(value).hexdigest()) for name, value in (("large", large), ("small", small))
    ]
    names = [one["id"] for one in made]
    assert (await cli("wait", *names, "--json")).received["states"] == dict.fromkeys(names, "completed")
    # The beginning is there from a call that was broken off.
    (tmp_path / f"back.{names[0]}.part").write_bytes(large[:1_000_000])
    assert (await cli("download", names[0], "-o", tmp_path / "back", "--json")).received["bytes"] == LARGE
    assert (tmp_path / "back").read_bytes() == large
    assert (await cli("download", names[1])).out == "small"
    assert (await cli("import", session, "anything")).code == 1
    for _ in range(2):
        gone = (await cli("delete-data", *names, "--json")).received["results"]
        assert [one["status"] for one in gone] == ["deleted", "deleted"]

    async def none_left() -> bool:
        return await stored(shared_system, f"results/{session}/") == {}

    await wait_until(none_left)
    assert (await cli("download", names[0], "-o", tmp_path / "again")).code == 1
    late = await cli("upload", tmp_path / "large", "--result", names[0])
    assert (late.code, "deleted" in late.err) == (1, True)


async def test_of_two_uploads_at_once_one_wins(shared_system: Processes, edge: Edge) -> None:
    session = await edge.session()
    made = await edge.ask("POST", f"/compute/v1/sessions/{session}/results", json={"results": [{}]})
    result = made.json()["results"][0]["id"]
    values = [bytes([n]) * LARGE for n in range(3)]
    path = f"/compute/v1/results/{result}/data"
    answers = await asyncio.gather(*(edge.plain.put(path, content=value) for value in values))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
    won = next(value for value, answer in zip(values, answers, strict=True) if answer.status_code == 200)
    assert (await edge.plain.get(path)).content == won
    assert len(await stored(shared_system, f"results/{session}/")) == 1
    await edge.close_session(session)


async def test_no_route_fails_over_a_nul(edge: Edge) -> None:
    """In each name of a path, each text of a query, each text of a body: refused, and nothing is done."""
    failed = []
    for route in ROUTES:
        plain = NAMED.sub(str(uuid4()), route.path)
        asked: list[tuple[str, dict[str, Any]]] = []
        if plain != route.path:
            asked.append((NAMED.sub("a%00b", route.path), {}))
        if route.query is not None:
            asked += [(f"{plain}?{field.encode_name}=a%00b", {}) for field in msgspec.structs.fields(route.query)]
        if isinstance(route.body, type) and issubclass(route.body, msgspec.Struct):
            whole = msgspec.json.decode(msgspec.json.encode(example(route.body)))
            asked += [(plain, {"json": changed}) for _, changed in texts(whole)]
        for path, more in asked:
            answer = await edge.plain.request(route.method, path, **more)
            if not 400 <= answer.status_code < 500:
                failed.append((route.method, path, more, answer.status_code, answer.text[:200]))
    assert not failed
