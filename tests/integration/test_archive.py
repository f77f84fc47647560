"""Datasets through archiver and retriever as real processes: in, stored, back; and what users do wrong on the way."""

import hashlib
import io
import json
import tarfile
from collections.abc import AsyncIterator, Mapping
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from deploy.local.s3 import BUCKET
from tests.support.datasets import ARCHIVER, DATA, Datasets, file_list, flip
from tests.support.edge import Edge
from tests.support.folders import folder
from tests.support.processes import Processes
from tests.support.servers import of_stack
from tests.support.wait import wait_until

LARGE = 700_000
"""Bytes; with 1 MiB a datablock, two of these do not fit into one."""


def some_files() -> dict[str, bytes]:
    noise = b"".join(hashlib.sha256(n.to_bytes(4, "big")).digest() for n in range(LARGE // 32))
    return {
        "a/first.fits": noise,
        "a/second.fits": noise[::-1],
        "b/ü é.txt": b"small",
        "b/percent %.txt": b"%",
        "empty": b"",
        "long/" + "n" * 180 + ".dat": b"x" * 5000,
    }


@pytest.fixture(scope="module")
async def shared_system() -> AsyncIterator[Processes]:
    with folder() as home:
        async with Processes(home) as processes:
            await processes.start(workers=1)
            yield processes


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


async def download(edge: Edge, retrieval: str) -> dict[str, bytes]:
    """The datablocks of a retrieval by name, by their addresses alone."""
    urls = await edge.get(f"{DATA}/retrievals/{retrieval}/urls")
    found = {}
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        for item in urls["items"]:
            data = (await http.get(item["url"])).content
            assert (len(data), hashlib.sha256(data).hexdigest()) == (item["size"], item["chk"])
            found[item["name"]] = data
    return found


def unpack(tars: Mapping[str, bytes]) -> dict[str, bytes]:
    """The payload of all datablocks, each checked against its own manifest."""
    files: dict[str, bytes] = {}
    for name, data in tars.items():
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            bag = name.removesuffix(".tar")
            members = {m.name: tar.extractfile(m).read() for m in tar.getmembers()}  # type: ignore[union-attr]
        assert members[f"{bag}/bagit.txt"].startswith(b"BagIt-Version: 1.0\n")
        payload = {n.removeprefix(f"{bag}/data/"): d for n, d in members.items() if n.startswith(f"{bag}/data/")}
        lines = members[f"{bag}/manifest-sha256.txt"].decode().splitlines()
        said = {p.removeprefix("data/").replace("%25", "%"): h for h, p in (line.split("  ", 1) for line in lines)}
        assert said == {n: hashlib.sha256(d).hexdigest() for n, d in payload.items()}
        files |= payload
    return files


async def test_in_and_back_out(shared_system: Processes, edge: Edge, datasets: Datasets, pid: str) -> None:
    files = some_files()
    dataset = await datasets.register(pid, files)
    assert dataset["datasetlifecycle"]["archiveStatusMessage"] == "filesNotReadyYet"
    await datasets.upload(pid, files)
    await datasets.finish(pid)
    packed = await datasets.until(pid, "datasetCreated")
    assert packed["datasetlifecycle"] == {
        "archivable": True,
        "retrievable": False,
        "isOnCentralDisk": True,
        "archiveStatusMessage": "datasetCreated",
        "retrieveStatusMessage": "",
        "archiveReturnMessage": {},
    }
    assert (packed["size"], packed["numberOfFiles"]) == (sum(map(len, files.values())), len(files))
    assert packed["numberOfDatablocks"] == 2
    job = await datasets.job(pid, "archive")
    await datasets.until_job(job, "finishedSuccessful")
    lts = shared_system.stack.home.path / "lts/data/datasets" / dataset["id"]
    assert len(list(lts.rglob("*.tar"))) == 2
    assert len(list(lts.rglob("*.manifest-sha256.txt"))) == 2

    async def cleared() -> bool:
        return not (await datasets.get(pid))["datasetlifecycle"]["isOnCentralDisk"]

    await shared_system.wait_until(cleared)
    located = await edge.get(f"{DATA}/locate/{pid.replace('/', '%2F')}")
    assert located == {"pid": pid, "size": packed["packedSize"], "storages": ["lts-a"], "damaged": 0}

    back = await datasets.job(pid, "retrieve")
    await datasets.until_job(back, "finishedSuccessful")
    assert unpack(await download(edge, back)) == files
    done = (await datasets.get(pid))["datasetlifecycle"]
    assert (done["archivable"], done["retrievable"], done["retrieveStatusMessage"]) == (False, True, "datasetRetrieved")


async def test_results_of_a_session_come_from_long_term_storage(edge: Edge, datasets: Datasets, pid: str) -> None:
    files = some_files()
    await datasets.store(pid, files)
    session = str(await edge.session(function="echo"))
    body = {"results": [{"name": path} for path in files]}
    made = (await datasets.post(f"/compute/v1/sessions/{session}/results", body, 201))["results"]
    wanted = [{"path": one["name"], "result": one["id"]} for one in made]
    retrieval = await datasets.retrieval(pid=pid, session=session, results=wanted)
    done = await datasets.until_retrieval(retrieval["id"], "done")
    assert (done["produced"], done["wanted"]) == (len(files), len(files))
    for one in made:
        value = await edge.ask("GET", f"/compute/v1/results/{one['id']}/data")
        assert value.content == files[one["name"]], one["name"]


async def test_an_upload_that_is_not_what_was_registered(
    shared_system: Processes, edge: Edge, datasets: Datasets, pid: str
) -> None:
    files = {"one": b"1" * 100, "two": b"2" * 100}
    made = await datasets.register(pid, files)
    await datasets.upload(pid, {"one": files["one"]})
    await datasets.finish(pid)
    await datasets.until(pid, "missingFilesError")

    async def failed(why: str) -> bool:
        """The chain has ended."""
        reasons = (await datasets.explain(pid))["reasons"]
        return all(any(part in reason for reason in reasons) for part in ("post_upload is failed", why))

    await wait_until(lambda: failed("two was not uploaded"), on_timeout=lambda: datasets.explain(pid))
    with pytest.raises(AssertionError):  # as long, but others: the store refuses them
        await datasets.upload(pid, {"two": b"3" * 100})
    async with of_stack(shared_system.stack).s3_client() as client:  # a store that passes over checksums takes them
        await client.put_object(Bucket=BUCKET, Key=f"landing/{made['id']}/two", Body=b"3" * 100)
    await datasets.finish(pid)
    await wait_until(lambda: failed("two: its bytes hash to"), on_timeout=lambda: datasets.explain(pid))
    assert (await datasets.get(pid))["numberOfDatablocks"] == 0
    await datasets.upload(pid, {"two": files["two"]})
    await datasets.finish(pid)
    await datasets.until(pid, "datasetCreated")


async def test_a_retrieval_that_cannot_be_ends_what_waits_for_it(edge: Edge, datasets: Datasets, pid: str) -> None:
    await datasets.store(pid, {"there": b"x"})
    session = str(await edge.session(function="echo"))
    body = {"results": [{"name": "nowhere"}]}
    result = (await datasets.post(f"/compute/v1/sessions/{session}/results", body, 201))["results"][0]["id"]
    line = b'{"inputs": ["%s"]}' % result.encode()
    await edge.submit(UUID(session), line)
    wanted = [{"path": "nowhere", "result": result}]
    retrieval = await datasets.retrieval(pid=pid, session=session, results=wanted)
    failed = await datasets.until_retrieval(retrieval["id"], "failed")
    assert "no file 'nowhere'" in failed["error"]
    task = (await edge.get(f"/compute/v1/sessions/{session}/tasks"))["items"][0]
    assert task["status"] == "error"
    assert "no file 'nowhere'" in task["error"]
    assert (await edge.get(f"/compute/v1/results/{result}"))["status"] == "aborted"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (f"{DATA}/datasets", {"pid": "../up"}, "pid"),
        (f"{DATA}/datasets", {"pid": "a/b/c"}, "pid"),
        (f"{DATA}/datasets", {"pid": "x", "ownerGroop": "y"}, "ownerGroop"),
        (f"{DATA}/origdatablocks", {"pid": "PID", "dataFileList": []}, "dataFileList"),
        (f"{DATA}/origdatablocks", {"pid": "PID", "dataFileList": [{"path": "../x", "size": 1, "chk": "0" * 64}]},
         "dataFileList[0].path"),
        (f"{DATA}/origdatablocks", {"pid": "PID", "dataFileList": [{"path": "/x", "size": 1, "chk": "0" * 64}]},
         "dataFileList[0].path"),
        (f"{DATA}/origdatablocks", {"pid": "PID", "dataFileList": [{"path": "x", "size": -1, "chk": "0" * 64}]},
         "dataFileList[0].size"),
        (f"{DATA}/origdatablocks", {"pid": "PID", "dataFileList": [{"path": "x", "size": 1, "chk": "zz"}]},
         "dataFileList[0].chk"),
        (f"{DATA}/jobs", {"type": "publish", "pid": "PID"}, "type"),
        (f"{ARCHIVER}/upload/urls", {"pid": "PID", "paths": ["not/registered"]}, "paths[0]"),
        (f"{DATA}/retrievals", {"pid": "PID", "results": [{"path": "x", "result": str(uuid4())}]}, "session"),
    ],
)  # fmt: skip
async def test_bad_requests_name_the_field(
    edge: Edge, datasets: Datasets, pid: str, path: str, body: dict[str, object], field: str
) -> None:
    await datasets.post(f"{DATA}/datasets", {"pid": pid}, 201)
    answer = await edge.ask("POST", path, json=body | ({"pid": pid} if body.get("pid") == "PID" else {}))
    assert answer.status_code in (400, 404), answer.text
    assert answer.json()["field"] == field
    assert (await datasets.get(pid))["numberOfFiles"] == 0


async def test_what_the_state_does_not_allow(edge: Edge, datasets: Datasets, pid: str) -> None:
    await datasets.register(pid, {"one": b"1"})
    for kind, why in (("archive", "FILES_NOT_READY_YET"), ("retrieve", "not retrievable")):
        answer = await edge.ask("POST", f"{DATA}/jobs", json={"type": kind, "pid": pid})
        assert answer.status_code == 409, answer.text
        assert why in answer.json()["detail"]
    answer = await edge.ask("POST", f"{DATA}/retrievals", json={"pid": pid})
    assert answer.status_code == 409
    await datasets.upload(pid, {"one": b"1"})
    await datasets.finish(pid)
    await datasets.until(pid, "datasetCreated")
    more = {"pid": pid, "dataFileList": file_list({"late": b"2"})}
    assert (await edge.ask("POST", f"{DATA}/origdatablocks", json=more)).status_code == 409
    assert (await edge.ask("POST", f"{ARCHIVER}/upload/urls", json={"pid": pid, "paths": ["one"]})).status_code == 409


async def test_a_repeat_changes_nothing(edge: Edge, datasets: Datasets, pid: str) -> None:
    first, again = await datasets.register(pid, {"one": b"1"}), await datasets.register(pid, {"one": b"1"})
    assert first["id"] == again["id"]
    assert (await datasets.get(pid))["numberOfFiles"] == 1
    other = await edge.ask("POST", f"{DATA}/datasets", json={"pid": pid, "description": "another"})
    assert other.status_code == 409
    changed = {"pid": pid, "dataFileList": file_list({"one": b"2"})}
    assert (await edge.ask("POST", f"{DATA}/origdatablocks", json=changed)).status_code == 409
    await datasets.upload(pid, {"one": b"1"})
    await datasets.finish(pid)
    await datasets.finish(pid)
    await datasets.until(pid, "datasetCreated")
    job = str(uuid4())
    asked = {"type": "archive", "pid": pid, "id": job}
    assert [(await datasets.post(f"{DATA}/jobs", asked, 201))["id"] for _ in range(2)] == [job, job]
    await datasets.until_job(job, "finishedSuccessful")


async def test_a_file_is_no_folder(datasets: Datasets, edge: Edge, pid: str) -> None:
    """Neither storage nor an unpacker could have both."""
    await datasets.register(pid, {"a/b": b"1", "a.b": b"2", "c": b"3"})
    for files in ({"a": b""}, {"c/d": b""}, {"c/d/e": b""}, {"x": b"", "x/y": b""}):
        body = {"pid": pid, "dataFileList": file_list(files)}
        answer = await edge.ask("POST", f"{DATA}/origdatablocks", json=body)
        assert answer.status_code == 400, files
        assert answer.json()["field"] == "dataFileList"
    await datasets.post(f"{DATA}/origdatablocks", {"pid": pid, "dataFileList": file_list({"a/c": b"", "c0": b""})}, 201)


@pytest.mark.parametrize("token", ["x", "²", "-1", "9" * 30])
async def test_a_token_that_no_page_gave(edge: Edge, datasets: Datasets, pid: str, token: str) -> None:
    await datasets.register(pid, {"one": b"1"})
    path = f"{DATA}/datasets/{pid.replace('/', '%2F')}/datablocks"
    answer = await edge.ask("GET", path, params={"token": token})
    assert (answer.status_code, answer.json()["field"]) == (400, "token")


async def test_others_do_not_see_it(shared_system: Processes, edge: Edge, datasets: Datasets, pid: str) -> None:
    await datasets.register(pid, {"one": b"1"})
    made = await edge.ask("POST", "/ops/v1/users", json={"name": f"u{uuid4().hex[:8]}", "roles": ["user"]})
    async with Edge(shared_system.http, made.json()["token"]) as other:
        await _others_sessions_are_unknown(edge, other, datasets)
        for method, path, body in (
            ("GET", f"{DATA}/datasets/{pid.replace('/', '%2F')}", None),
            ("POST", f"{ARCHIVER}/upload/urls", {"pid": pid, "paths": ["one"]}),
            ("POST", f"{ARCHIVER}/upload/finished", {"pid": pid}),
            ("POST", f"{DATA}/jobs", {"type": "archive", "pid": pid}),
            ("POST", f"{DATA}/retrievals", {"pid": pid}),
        ):
            answer = await other.ask(method, path, json=body)
            assert answer.status_code == 404, (path, answer.text)
            nowhere = "test/of-nobody"
            unknown = await other.ask(
                method,
                path.replace(pid.replace("/", "%2F"), nowhere.replace("/", "%2F")),
                json=body and body | {"pid": nowhere},
            )
            assert unknown.status_code == 404
            assert _answer(unknown, nowhere) == _answer(answer, pid), "an answer of its own says that it is there"
        assert {one["owner"] for one in (await other.get(f"{DATA}/datasets"))["items"]} == {made.json()["user"]}


def _answer(answer: httpx.Response, name: str) -> dict[str, Any]:
    """What is said, but for the name and the trace."""
    body = json.loads(answer.text.replace(name, "…"))
    return {key: value for key, value in body.items() if key not in ("trace", "instance")}


async def _others_sessions_are_unknown(edge: Edge, other: Edge, datasets: Datasets) -> None:
    """A retrieval was accepted for a session of somebody else, and its bytes stayed under it."""
    theirs, nobodys = str(await edge.session(function="echo")), str(uuid4())
    made = await datasets.post(f"/compute/v1/sessions/{theirs}/results", {"results": [{"name": "one"}]}, 201)
    result = made["results"][0]["id"]
    mine = Datasets(other)
    pid = f"test/{uuid4().hex[:12]}"
    await mine.store(pid, {"one": b"1" * 70_000})
    answers = []
    for session in (theirs, nobodys):
        body = {"pid": pid, "session": session, "results": [{"path": "one", "result": result}]}
        answers.append(await other.ask("POST", f"{DATA}/retrievals", json=body))
        assert (answers[-1].status_code, answers[-1].json()["field"]) == (404, "session")
    assert _answer(answers[0], theirs) == _answer(answers[1], nobodys)

    # A session of one's own, and somebody else's result: it fails before there are bytes.
    own = str(await other.session(function="echo"))
    body = {"pid": pid, "session": own, "results": [{"path": "one", "result": result}]}
    retrieval = await mine.post(f"{DATA}/retrievals", body, 201)
    failed = await mine.until_retrieval(retrieval["id"], "failed")
    assert "refuses result get" in failed["error"]
    assert (await edge.get(f"/compute/v1/results/{result}"))["status"] == "created"


async def test_a_datablock_that_rotted_on_the_way_is_not_believed(
    shared_system: Processes, edge: Edge, datasets: Datasets, pid: str
) -> None:
    """A bit flips on long-term storage: the retrieval fails, and says where."""
    await datasets.store(pid, {"one": b"1" * 1000})
    dataset = await datasets.get(pid)
    tar = next((shared_system.stack.home.path / "lts/data/datasets" / dataset["id"]).rglob("*.tar"))
    flip(tar)
    job = await datasets.job(pid, "retrieve")
    failed = await datasets.until_job(job, "finishedUnsuccessful", timeout=60)
    assert "hash" in failed["message"]
    assert tar.name in failed["message"]
    lifecycle = (await datasets.get(pid))["datasetlifecycle"]
    assert lifecycle["retrieveStatusMessage"] == "datasetRetrievalFailed"
    assert lifecycle["retrievable"]


async def test_results_of_what_is_damaged_are_aborted_and_the_others_produced(
    shared_system: Processes, edge: Edge, datasets: Datasets, pid: str
) -> None:
    """And when somebody has put the file back, a retrieval finds it, and everybody says so."""
    files = {"bad": b"1" * LARGE, "good": b"2" * LARGE}
    await datasets.store(pid, files)
    dataset = await datasets.get(pid)
    tar = min((shared_system.stack.home.path / "lts/data/datasets" / dataset["id"]).rglob("*.tar"))
    flip(tar)
    session = str(await edge.session(function="echo"))
    body = {"results": [{"name": path} for path in files]}
    made = (await datasets.post(f"/compute/v1/sessions/{session}/results", body, 201))["results"]
    wanted = [{"path": one["name"], "result": one["id"]} for one in made]
    retrieval = await datasets.retrieval(pid=pid, session=session, results=wanted)
    partial = await datasets.until_retrieval(retrieval["id"], "partial")
    assert (partial["produced"], partial["damaged"], partial["blocks_back"]) == (1, 1, 1)
    results = {one["name"]: await edge.get(f"/compute/v1/results/{one['id']}") for one in made}
    assert {name: one["status"] for name, one in results.items()} == {"bad": "aborted", "good": "completed"}
    urls = (await edge.get(f"{DATA}/retrievals/{retrieval['id']}/urls"))["items"]
    assert [(one["damage"], bool(one["url"])) for one in urls] == [("checksum", False), ("", True)]
    assert (await datasets.get(pid))["numberOfDamagedDatablocks"] == 1

    failed = await datasets.until_job(await datasets.job(pid, "archive"), "finishedUnsuccessful")  # nothing was sent
    assert "bad was not uploaded" in failed["message"]
    seen = await datasets.until(pid, "scheduleArchiveJobFailed")
    assert (seen["numberOfDamagedDatablocks"], seen["datasetlifecycle"]["archivable"]) == (1, True)
    assert seen["datasetlifecycle"]["retrievable"]

    flip(tar)
    job = await datasets.job(pid, "retrieve")
    await datasets.until_job(job, "finishedSuccessful")
    seen = await datasets.get(pid)
    assert (seen["numberOfDamagedDatablocks"], seen["datasetlifecycle"]["archivable"]) == (0, False)
    assert seen["datasetlifecycle"]["archiveStatusMessage"] == "datasetOnArchiveDisk"


async def test_operations_of_all_services_are_one_list(edge: Edge, datasets: Datasets, pid: str) -> None:
    files, root = some_files(), "/operations/v1/operations"
    await datasets.store(pid, files)
    retrieval = await datasets.job(pid, "retrieve")
    ended = await edge.get(f"{root}/{retrieval}/wait", timeout=30)
    assert (ended["name"], ended["done"], ended["metadata"]["state"]) == (f"operations/{retrieval}", True, "succeeded")
    assert ended["metadata"]["progress"]["datablocks"] == {"done": 2, "total": 2}
    assert ended["result"]["blocks_back"] == 2
    assert await edge.get(f"{root}/{retrieval}") == ended
    session = str(await edge.session())
    assert (await edge.ask("DELETE", f"/compute/v1/sessions/{session}")).status_code == 200
    page = await edge.get(root, size=3)
    assert [one["metadata"]["kind"] for one in page["items"]] == ["delete", "retrieve", "archive"]
    then = await edge.get(root, size=3, token=page["next"])
    assert (
        then["items"][0]["metadata"] | {"kind": "upload", "target": f"datasets/{pid}"} == then["items"][0]["metadata"]
    )
    mine = await edge.get(root, target=f"datasets/{pid}", kind="archive")
    assert [one["metadata"]["target"] for one in mine["items"]] == [f"datasets/{pid}"]
    assert (await edge.get(root, target=f"datasets/{pid}", active="true"))["items"] == []
    refused = await edge.ask("POST", f"{root}/{retrieval}/cancel")
    assert (refused.status_code, refused.json()["detail"]) == (
        409,
        f"operations/{retrieval} is succeeded: it cannot be cancelled",
    )
    assert (await edge.ask("GET", f"{root}/{uuid4()}")).status_code == 404
