"""The tables of blocking functions and of commands, each on one worker, all its slots at work, healthy tasks between them."""

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from shared.contracts.work import Completed, Failed, Logged, Progress, Work
from shared.worker import App
from tests.support.agent_rig import Rig, echo, open_rig
from tests.support.behaviours import blocking, commands
from tests.support.behaviours.case import Case
from tests.support.process_list import named
from tests.support.wait import wait_until

SLOTS = 4
MARKED = ("leaves_a_process", "stops_its_parent", "leaves_a_process_when_it_is_stopped", "leaves_a_daemon")
"""Functions whose payload is found among the arguments of the processes that they leave."""
SOAKED = (
    *(
        "aborts",
        "replaces_itself",
        "ends_itself",
        "kills_its_group",
        "lowers_a_limit",
        "changes_the_umask",
        "goes_elsewhere",
    ),
    *("changes_the_event_loops_policy", "changes_the_environment", "traces_everything", "has_a_time_limit_for_sockets"),
    *("leaves_an_alarm", "leaves_a_pool_of_threads", "opens_ten_thousand_files", "leaves_processes_that_print"),
    *("closes_descriptors", "closes_descriptors_and_goes_on", "puts_files_over_sockets", "returns_a_gigabyte"),
)
"""Each costs a process; they are in the mix of `make soak`, and their like is in test_blocking_harm."""


async def test_blocking_functions_end_as_the_table_says_and_nobody_else_notices() -> None:
    functions, mark = App(), str(uuid4())
    functions.functions |= blocking.app.functions
    cases = [
        msgspec.structs.replace(case, payload=msgspec.json.encode(mark)) if case.name in MARKED else case
        for case in blocking.table.cases
        if case.name not in SOAKED
    ]
    async with open_rig(functions, blocking.PATH, slots=SLOTS) as rig:
        await check(rig, cases, [case.name for case in cases])
        assert named(mark) == []


async def test_commands_end_as_the_table_says_and_nobody_else_notices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    functions = App()
    functions.function(echo)
    async with open_rig(functions, slots=SLOTS, commands=True) as rig:
        await check(rig, commands.CASES, ["exec"] * len(commands.CASES))
    assert list(tmp_path.iterdir()) == [], "every folder is gone"


async def check(rig: Rig, cases: Sequence[Case], functions: Sequence[str]) -> None:
    """Runs all of them, each followed by a healthy task: of blocking functions in one of the same processes."""
    odd, healthy = [], []
    for case, function in zip(cases, functions, strict=True):
        work = rig.work(function, case.payload)
        odd.append(msgspec.structs.replace(work, max_duration=case.max_duration))
        healthy.append(rig.work("echo", msgspec.json.encode(case.name)))
    everything = list(itertools.chain(*zip(odd, healthy, strict=True)))
    for work in everything:
        await rig.send(work)
    ends = await wait_until(lambda: all_ended(rig, everything), timeout=120, on_timeout=lambda: left(rig, everything))
    wrong = [
        (case.name, fault)
        for case, work in zip(cases, odd, strict=True)
        if (fault := fault_of(case, ends[work.id], [r for r in rig.reports() if r.task == work.id]))
    ]
    for case, work in zip(cases, healthy, strict=True):
        end = ends[work.id]
        if not isinstance(end, Completed) or end.outputs[0].data != msgspec.json.encode(case.name):
            wrong.append((f"the neighbour of {case.name}", str(end)))
    assert wrong == []
    assert not rig.agent.health.problem
    assert rig.agent.slots.busy == 0


def all_ended(rig: Rig, works: Sequence[Work]) -> dict[Any, Completed | Failed] | None:
    ends = {report.task: report for report in rig.reports() if isinstance(report, Completed | Failed)}
    return ends if len(ends) == len(works) else None


def left(rig: Rig, works: Sequence[Work]) -> list[str]:
    ended = {report.task for report in rig.reports() if isinstance(report, Completed | Failed)}
    return [f"{work.function} {bytes(work.payload)!r}" for work in works if work.id not in ended]


def fault_of(case: Case, end: Completed | Failed, reports: Sequence[Any]) -> str:
    """What is not as the row says; empty if nothing is."""
    if len([report for report in reports if isinstance(report, Completed | Failed)]) != 1:
        return f"ended more than once: {reports}"
    if isinstance(end, Completed):
        found = case.ends == "completed" and [output.data for output in end.outputs] == [case.value]
    else:
        found = end.kind == case.ends and bool(re.match(case.text, end.message, re.S)) and len(end.message) <= 4000
    if not found:
        return str(end)[:1000]
    text = "".join(report.text for report in reports if isinstance(report, Logged))
    if not re.search(case.log, text, re.S):
        return f"printed {text[:1000]}"
    stages = [report.message for report in reports if isinstance(report, Progress)]
    return "" if not case.progress or case.progress in stages else f"reported {stages[:10]}"
