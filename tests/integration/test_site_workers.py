"""The workers of a site report, ask and beat for the tasks of their own partition, and for no others."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import msgspec
import pytest
import pytest_asyncio
from nats.aio.client import Client

from deploy.nats.permissions import pilot_user
from shared.contracts import compute as c
from shared.contracts import ids, subjects
from shared.contracts.endpoints.sites import SITE_ENTER
from shared.contracts.endpoints.work import TASK_CONFIRM, TASK_INPUTS, TASK_SPAWN
from shared.contracts.errors import ErrorBody
from shared.contracts.work import (
    Beat,
    BeatReply,
    Completed,
    Confirm,
    Confirmed,
    Failed,
    Inputs,
    InputsOf,
    Logged,
    Output,
    ReportBatch,
    Spawn,
    Started,
)
from shared.service.ask import ask
from shared.worker import App
from tests.support.bus_rig import connected
from tests.support.compute_rig import Rig, open_rig
from tests.support.servers import Servers
from tests.support.wait import wait_until

SITE, NAME = "site-a", "pilot"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def rig(servers: Servers) -> AsyncIterator[Rig]:
    async with open_rig(servers) as made, connected(servers, "broker", site=SITE) as broker:
        await ask(broker, SITE_ENTER, c.PartitionRef(SITE))
        yield made


@pytest.fixture
async def pilot(rig: Rig) -> AsyncIterator[Client]:
    client = await rig.servers.connect(pilot_user(SITE))
    yield client
    await client.close()


class Given:
    """A task that waits for a worker: its id, its output."""

    def __init__(self, session: UUID, submission: UUID, output: UUID) -> None:
        self.session, self.task, self.output = session, ids.task_id(submission, 0), output


async def given(rig: Rig, partition: str) -> Given:
    session = await rig.session(partition)
    submission = await rig.submit(session, [c.TaskSpec(function="nobody_runs_it")])
    task = await rig.task(ids.task_id(submission, 0))
    return Given(session, submission, task.outputs[0])


async def put(client: Client, subject: str, message: Any) -> None:
    """As a worker does: until the bus has stored it."""
    assert (await client.request(subject, msgspec.json.encode(message), timeout=20)).data


async def asked(client: Client, subject: str, message: Any) -> Any:
    answer = await client.request(subject, msgspec.json.encode(message), timeout=20)
    return (
        answer.data
        if "Nats-Service-Error-Code" not in (answer.headers or {})
        else msgspec.json.decode(answer.data, type=ErrorBody)
    )


async def test_a_report_of_another_partitions_task_counts_for_nothing(rig: Rig, pilot: Client) -> None:
    elsewhere, own = await given(rig, "default"), await given(rig, SITE)
    foreign = [
        Logged(elsewhere.task, 0, 0, "not its own"),
        Started(elsewhere.task, 0, NAME),
        Failed(elsewhere.task, 0, "error", "not its own"),
        Failed(elsewhere.task, 0, "lost", "not its own"),
        Failed(elsewhere.task, 0, "returned", "not its own"),
        Completed(elsewhere.task, 0, [Output(elsewhere.output, 5, b"false")]),
    ]
    for report in foreign:
        await put(pilot, subjects.report(SITE), ReportBatch(NAME, [report]))
    # In one message with its own, which counts.
    mixed = [*foreign, Completed(own.task, 0, [Output(own.output, 4, b"true")])]
    await put(pilot, subjects.report(SITE), ReportBatch(NAME, mixed))

    async def completed() -> bool:
        return await rig.status(own.task) == "completed"

    await wait_until(completed)
    assert await rig.value(own.output) == b"true"
    left = await rig.task(elsewhere.task)
    assert (left.attempt, left.worker, left.error, left.started_at) == (0, "", "", None)
    assert left.status in ("pending", "submitted")
    log = await rig.ask("task.logs", c.TaskLogs(elsewhere.task), c.TaskLog)
    assert log.text == ""
    assert await rig.result_status(elsewhere.output) == "created"


async def test_the_bus_takes_its_reports_of_its_own_partition_alone(rig: Rig) -> None:
    problems: list[str] = []

    async def note(error: Exception) -> None:
        problems.append(str(error).lower())

    client = await rig.servers.connect(pilot_user(SITE), error_cb=note)
    tried = (
        *("hr.report.default", "hr.report.site-b", "$JS.API.CONSUMER.MSG.NEXT.TASKS.workers-default"),
        *(
            "$JS.ACK.TASKS.workers-default.1.1.1.1.0",
            "$JS.API.CONSUMER.INFO.TASKS.workers-site-b",
            "hr.evt.offer.offered.1",
        ),
        *("hr.rpc.scheduler.session.get", "hr.rpc.scheduler.site.enter", "hr.broker.site-a.accept", "_INBOX_gateway.x"),
    )
    for subject in tried:
        await client.publish(subject, b"{}")
    await client.flush()
    await wait_until(lambda: len(problems) == len(tried), on_timeout=lambda: problems)
    assert all("permissions violation" in problem for problem in problems)
    await client.close()


async def test_what_it_asks_about_others_tasks_is_answered_as_if_there_were_none(rig: Rig, pilot: Client) -> None:
    for partition, allowed in (("default", False), (SITE, True)):
        one = await given(rig, partition)
        confirmed = msgspec.json.decode(
            await asked(pilot, TASK_CONFIRM.subject, Confirm(NAME, [(one.task, 0)])), type=Confirmed
        )
        assert confirmed.run == ([one.task] if allowed else [])
        spawned = await asked(
            pilot,
            TASK_SPAWN.subject,
            Spawn(one.task, 0, ids.submission_id(), last=True, tasks=[c.TaskSpec(function="f")]),
        )
        assert isinstance(spawned, ErrorBody) is not allowed, spawned


async def test_the_inputs_of_others_tasks_are_not_its_to_read(rig: Rig, pilot: Client) -> None:
    for partition, allowed in (("default", False), (SITE, True)):
        session = await rig.session(partition)
        secret = await rig.result(session, b"secret")
        submission = await rig.submit(session, [c.TaskSpec(function="nobody_runs_it", inputs=[str(secret)])])
        found = msgspec.json.decode(
            await asked(pilot, TASK_INPUTS.subject, InputsOf(ids.task_id(submission, 0))), type=Inputs
        )
        assert [value.data for value in found.values] == ([b"secret"] if allowed else [])


async def test_it_beats_for_its_own_partition_under_a_name_of_its_own(rig: Rig, pilot: Client) -> None:
    async def beat(name: str, partition: str, *more: str) -> None:
        message = Beat(name, partition, 1, ["f"], [], [partition, *more])
        await pilot.publish(subjects.beat(name), msgspec.json.encode(message), reply=pilot.new_inbox())

    async def known(partition: str) -> c.Partition:
        return await rig.ask("partition.get", c.PartitionRef(partition), c.Partition)

    async with rig.worker(App(), name="honest") as _:
        before = await known("default")
        await beat("pilot-1", "default")
        await beat("pilot-2", SITE, "default")
        await beat("honest", SITE)
        good = Beat("pilot-3", SITE, 1, ["f"], [])
        answer = await pilot.request(subjects.beat("pilot-3"), msgspec.json.encode(good), timeout=20)
        assert msgspec.json.decode(answer.data, type=BeatReply).stop == []
        assert (await known(SITE)).workers == 1, "only the last was taken"
        after = await known("default")
        assert (after.workers, after.slots) == (before.workers, before.slots)


async def test_a_client_cannot_say_itself_where_it_comes_from(rig: Rig, pilot: Client) -> None:
    """The server's word replaces its own."""
    one = await given(rig, "default")
    headers = {"Nats-Request-Info": '{"acc": "WORKERS"}'}
    question = msgspec.json.encode(Confirm(NAME, [(one.task, 0)]))
    answer = await pilot.request(TASK_CONFIRM.subject, question, timeout=20, headers=headers)
    assert msgspec.json.decode(answer.data, type=Confirmed).run == []
