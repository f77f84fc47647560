"""Commands as tasks: files before and after, limits, what is left behind, what they may know."""

import asyncio
import errno
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
import uvloop

from shared.contracts.compute import Value
from shared.contracts.work import Command, Limits, Logged, Output
from shared.testing.objects import MemoryObjects
from shared.worker import launch
from shared.worker.children import AttemptLost
from shared.worker.commands import Commands, parse
from shared.worker.functions import TaskError
from shared.worker.log_buffer import LogBuffer
from shared.worker.shortage import ResourceShortage
from tests.support.process_list import ignored, lives
from tests.support.smalldisk import small_disk
from tests.support.wait import wait_until

SESSION = uuid4()


class Rig:
    """`folder`: where the commands' folders are made. `text`: what the last command printed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.objects, self.text = folder, MemoryObjects(), ""
        self.commands = Commands(self.objects)

    async def run(self, *command: str, values: Sequence[bytes] = (), room: int = 2**20, **more: Any) -> list[bytes]:
        """The outputs' values."""
        received: list[Logged] = []
        printed = LogBuffer(uuid4(), 0, received.append)
        payload = msgspec.json.encode(Command(list(command), **more))
        given = [await self.value(value) for value in values]
        try:
            names = [uuid4() for _ in more.get("outputs", ())]
            made = await self.commands.run(payload, given, SESSION, names, printed, room)
            assert [output.id for output in made] == names
            return [await self.read(output) for output in made]
        finally:
            printed.end()
            self.text = "".join(report.text for report in received)

    async def value(self, data: bytes) -> Value:
        if len(data) <= 16384:
            return Value(uuid4(), len(data), data=data)
        key = f"results/{uuid4()}"
        await self.objects.put(key, data)
        return Value(uuid4(), len(data), object=key)

    async def read(self, output: Output) -> bytes:
        if output.data is not None:
            return output.data
        assert output.object is not None
        return await self.objects.read(output.object, limit=output.size)

    async def fails(self, *command: str, **more: Any) -> str:
        with pytest.raises(TaskError) as error:
            await self.run(*command, **more)
        return str(error.value)

    def left(self) -> list[str]:
        return os.listdir(self.folder)


@pytest.fixture
async def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    rig = Rig(tmp_path)
    yield rig
    await rig.commands.close()
    assert rig.left() == [], "every folder is gone"


async def test_inputs_are_files_and_files_are_outputs(rig: Rig) -> None:
    large = os.urandom(3 * 1024 * 1024)
    script = "cat a > out/joined; cat sub/b >> out/joined; : > empty; echo said; echo complained >&2"
    outputs = await rig.run(
        *("sh", "-c", f"mkdir out; {script}"),
        values=[b"small", large], inputs=["a", "sub/b"], outputs=["out/joined", "empty"],
    )  # fmt: skip
    assert outputs == [b"small" + large, b""]
    assert sorted(rig.text.splitlines()) == ["complained", "said"]


async def test_the_streams_can_be_an_input_and_an_output(rig: Rig) -> None:
    outputs = await rig.run("sh", "-c", "tr a-z A-Z; echo beside >&2", values=[b"text"], inputs=["-"], outputs=["-"])
    assert (outputs, rig.text) == ([b"TEXT"], "beside\n")


async def test_what_does_not_fit_in_a_report_becomes_an_object(rig: Rig) -> None:
    script = "for name in a b c; do printf %010d 7 > $name; done"
    outputs = await rig.run("sh", "-c", script, outputs=["a", "b", "c"], room=25)
    assert outputs == [b"0000000007"] * 3
    assert len(rig.objects.written) == 1


async def test_its_environment_is_minimal(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_NATS_PASSWORD", "secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    # Its launcher's is no more than its own: a command may read it.
    await rig.run("sh", "-c", "env; pwd; tr '\\0' '\\n' < /proc/$PPID/environ || true", env={"ANSWER": "42"})
    assert "secret" not in rig.text
    seen = dict(line.split("=", 1) for line in rig.text.splitlines() if "=" in line)
    assert seen.keys() <= {"PATH", "HOME", "TMPDIR", "LANG", "ANSWER", "PWD", "SHLVL", "OLDPWD", "_", "LC_CTYPE"}
    assert seen["ANSWER"] == "42"
    assert f"{rig.folder}/headrace-" in seen["HOME"]


def test_it_has_no_descriptor_but_its_own_three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it get at its launcher's. On the loop that workers use, it had the sockets by which all launchers speak with it."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    rig = Rig(tmp_path)
    look = "import os; print(sorted(os.listdir('/proc/self/fd')))"
    write = "for fd in $(seq 0 30); do echo garbage > /proc/$PPID/fd/$fd; done 2> /dev/null; true"

    async def run() -> None:
        other = asyncio.create_task(rig.run("sleep", "0.2"))
        assert await rig.run(sys.executable, "-I", "-S", "-c", look, outputs=["-"]) == [b"['0', '1', '2', '3']\n"]
        await rig.run("sh", "-c", write)
        await other
        await rig.commands.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


async def test_how_it_failed_is_told(rig: Rig) -> None:
    failed = await rig.fails("sh", "-c", "echo fine; for n in 1 2 3; do echo line $n >&2; done; exit 3")
    assert failed == "the command ended with status 3\nline 1\nline 2\nline 3"
    assert await rig.fails("sh", "-c", "kill -TERM $$") == "the command was killed by SIGTERM"
    assert await rig.fails("no-such-program") == "cannot run 'no-such-program': No such file or directory"
    assert await rig.fails("/etc") == "cannot run '/etc': Permission denied"
    assert await rig.fails("true", outputs=["there"]) == "the command has not made its output 'there'"
    assert await rig.fails("mkdir", "there", outputs=["there"]) == "the output 'there' is not a file"
    long = await rig.fails("sh", "-c", "seq 100000 >&2; exit 1")
    assert long.splitlines()[1:] == [str(n) for n in range(99981, 100001)]


async def test_a_signal_that_the_worker_was_started_to_ignore_or_block_is_not_ignored_by_commands(rig: Rig) -> None:
    """As a shell's `&` does with SIGINT, and nohup with SIGHUP."""
    with ignored(signal.SIGINT, signal.SIGHUP):
        assert (await rig.fails("sh", "-c", "kill -INT $$")).startswith("the command was killed by SIGINT")
        assert (await rig.fails("sh", "-c", "kill -HUP $$")).startswith("the command was killed by SIGHUP")


async def test_an_output_that_leads_elsewhere_is_none(rig: Rig) -> None:
    for script in ("ln -s /etc/hostname x", "mkfifo x", "ln -s /proc/self/environ x"):
        assert await rig.fails("sh", "-c", script, outputs=["x"]) == "the output 'x' is not a file"
    assert await rig.fails("ln", "-s", "/etc", "d", outputs=["d/hostname"]) == "the output 'd/hostname' is not a file"


@pytest.mark.parametrize(
    ("limits", "code", "message"),
    [
        (Limits(cpu_seconds=1), "while True: pass", "killed by SIGXCPU: it used more than its cpu_seconds"),
        (Limits(memory_bytes=2**28), "bytearray(2**29)", "MemoryError"),
        (
            Limits(file_bytes=1000),
            "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_DFL); open('x', 'wb').write(bytes(2000))",
            "killed by SIGXFSZ: it wrote more than its file_bytes",
        ),
    ],
)
async def test_limits(rig: Rig, limits: Limits, code: str, message: str) -> None:
    assert message in await rig.fails(sys.executable, "-S", "-c", code, limits=limits)


async def test_the_number_of_processes_is_limited(rig: Rig) -> None:
    code = "import resource; print(resource.getrlimit(resource.RLIMIT_NPROC)[0])"
    await rig.run(sys.executable, "-S", "-c", code, limits=Limits(processes=99))
    assert rig.text == "99\n"


ESCAPES = "setsid sh -c 'echo $$ > %s; exec sleep 1000' & sleep 1000 & echo $! > %s; wait"
"""Two sub-processes, one of which leaves the session of the command."""


async def started(*files: Path) -> list[int]:
    return await wait_until(
        lambda: all(f.exists() and f.read_text() for f in files) and [int(f.read_text()) for f in files]
    )


async def test_a_cancelled_command_is_dead_at_once_with_all_that_it_started(
    rig: Rig, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("pids")
    running = asyncio.create_task(rig.run("sh", "-c", "echo begun; " + ESCAPES % (folder / "a", folder / "b")))
    pids = await started(folder / "a", folder / "b")
    assert all(lives(pid) for pid in pids)
    began = time.monotonic()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert time.monotonic() - began < 1
    assert not any(lives(pid) for pid in pids)
    assert rig.text == "begun\n"


async def test_what_outlives_its_command_is_killed(rig: Rig, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("pids")
    script = ESCAPES % (folder / "a", folder / "b")
    outputs = await rig.run(
        *("sh", "-c", script.replace("wait", f"while ! test -s {folder}/a; do :; done; echo 1 > x")), outputs=["x"]
    )
    assert outputs == [b"1\n"]
    assert not any(lives(pid) for pid in await started(folder / "a", folder / "b"))


async def test_a_launcher_that_dies_is_a_lost_attempt(rig: Rig, tmp_path_factory: pytest.TempPathFactory) -> None:
    received = tmp_path_factory.mktemp("pids")
    script = f"echo $PPID > {received}/launcher; sleep 1000 & echo $! > {received}/other; wait"
    running = asyncio.create_task(rig.run("sh", "-c", script))
    launcher, other = await started(received / "launcher", received / "other")
    os.kill(launcher, signal.SIGKILL)
    with pytest.raises(AttemptLost, match="-9"):
        await running
    await wait_until(lambda: not lives(other))


async def test_a_killed_worker_leaves_nothing_behind(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The worker here: a process that starts a command and is killed."""
    folder = tmp_path_factory.mktemp("pids")
    payload = msgspec.json.encode(Command(["sh", "-c", ESCAPES % (folder / "a", folder / "b")])).decode()
    code = f"""if True:
        import asyncio, uuid
        from shared.testing.objects import MemoryObjects
        from shared.worker.commands import Commands
        from shared.worker.log_buffer import LogBuffer

        async def main():
            printed = LogBuffer(uuid.uuid4(), 0, print)
            await Commands(MemoryObjects()).run({payload.encode()!r}, [], uuid.uuid4(), [], printed, 0)

        asyncio.run(main())
    """
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", code, env=env)
    pids = await started(folder / "a", folder / "b")
    assert len(os.listdir(tmp_path)) == 1
    worker.kill()
    await worker.wait()
    await wait_until(lambda: not any(lives(pid) for pid in pids) and not os.listdir(tmp_path))


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("trap '' TERM; kill -TERM $$; exit 4", "the command ended with status 4"),
        ("kill -KILL $$", "the command was killed by SIGKILL"),
        ("kill -SEGV $$", "the command was killed by SIGSEGV"),
        ("kill -9 0", "the command was killed by SIGKILL"),
        ("exec 0<&- 1>&- 2>&-; exit 5", "the command ended with status 5"),
        ("ln -s /dev/zero x", "the output 'x' is not a file"),
        ("ln -s . x", "the output 'x' is not a file"),
        ("touch x; chmod 0 . ; exit 6", "the command ended with status 6"),
        ("rm -rf ../work; exit 7", "the command ended with status 7"),
        ("rm -rf ../work", "the command has not made its output 'x'"),
        ("printf 'caf\\351\\033[2J\\000' >&2; exit 1", "the command ended with status 1\ncaf�␛[2J␀"),
    ],
)
async def test_what_a_command_does_is_its_own_tasks_error(rig: Rig, script: str, message: str) -> None:
    neighbour = asyncio.create_task(rig.run("sh", "-c", "sleep 0.1; echo well > x", outputs=["x"]))
    assert await rig.fails("sh", "-c", script, outputs=["x"]) == message
    assert await neighbour == [b"well\n"]


async def test_a_command_that_prints_without_end_leaves_the_loop_to_others(rig: Rig) -> None:
    """Gigabytes without a newline: what is kept has a bound, and memory too."""
    endless = asyncio.create_task(rig.run("cat", "/dev/zero"))
    for _ in range(3):
        assert await asyncio.wait_for(rig.run("sh", "-c", "echo well > x", outputs=["x"]), 20) == [b"well\n"]
    endless.cancel()
    await asyncio.wait([endless])


@pytest.mark.parametrize("error", [errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM])
async def test_what_the_worker_lacks_is_not_the_tasks_error(
    rig: Rig, error: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: Any, **options: Any) -> None:
        raise OSError(error, os.strerror(error))

    with monkeypatch.context() as patched:
        patched.setattr("subprocess.Popen", fails)
        with pytest.raises(ResourceShortage, match="no command can be started: no ") as unwell:
            await rig.run("true")
        assert unwell.value.probe is not None
        with pytest.raises(ResourceShortage):
            await unwell.value.probe()
    await unwell.value.probe()
    await rig.run("true")


async def test_a_folder_that_cannot_be_made_is_the_workers_trouble(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("tempfile.tempdir", str(rig.folder / "gone"))
        with pytest.raises(ResourceShortage, match="No such file or directory"):
            await rig.run("true")
    await rig.run("true")


async def test_a_full_disk_is_the_workers_trouble_until_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    with small_disk(4) as disk:
        monkeypatch.setattr("tempfile.tempdir", str(disk.folder))
        rig = Rig(disk.folder)
        disk.take("full", leave=64 * 1024)
        with pytest.raises(ResourceShortage, match="the disk is full") as unwell:
            await rig.run("cat", "a", values=[bytes(2_000_000)], inputs=["a"])
        assert unwell.value.probe is not None
        with pytest.raises(ResourceShortage, match="the disk is full"):
            await unwell.value.probe()
        disk.give_back("full")
        await unwell.value.probe()
        # What fills it itself fails by itself, and leaves it empty.
        assert "No space left" in await rig.fails("sh", "-c", "head -c 9999999 /dev/zero > x", outputs=["x"])
        await rig.run("cat", "a", values=[bytes(2_000_000)], inputs=["a"])
        await rig.commands.close()


async def test_inputs_that_would_not_fit_an_empty_disk_are_not_begun_and_it_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each alone would; given back, the task would fill the disk of one worker after the other."""
    with small_disk(4) as disk:
        monkeypatch.setattr("tempfile.tempdir", str(disk.folder))
        rig = Rig(disk.folder)
        free = disk.free
        values = [bytes(2_500_000)] * 2
        with pytest.raises(AttemptLost, match=f"5000000 bytes together, and the disk of this worker has {4 * 2**20}"):
            await rig.run("cat", "a", values=values, inputs=["a", "b"])
        assert disk.free == free
        await rig.commands.close()


@pytest.mark.parametrize(
    ("number", "limit", "sent"),
    [
        (errno.EAGAIN, 0, {"shortage": "Resource temporarily unavailable"}),
        (errno.ENOMEM, 0, {"shortage": "Cannot allocate memory"}),
        (errno.ENOMEM, 2**20, {"refused": "Cannot allocate memory"}),
        (errno.ENOENT, 0, {"refused": "No such file or directory"}),
    ],
)
def test_a_launcher_tells_the_commands_fault_from_the_machines(
    number: int, limit: int, sent: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(job: Any, root: str) -> int:
        raise launch.Refused(number)

    messages: list[dict[str, Any]] = []
    monkeypatch.setattr(launch, "begin", begin)
    monkeypatch.setattr(launch, "send", lambda **message: messages.append(message))
    monkeypatch.setattr(launch, "receive_line", lambda: msgspec.json.encode({"limits": {"memory_bytes": limit}}))
    monkeypatch.setattr(launch.os, "close", lambda fd: None)
    monkeypatch.setattr(launch.os, "read", lambda fd, n: b"")
    launch.serve("", 0)
    assert messages == [sent, {"gone": True}]


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"null", "its payload is not a command"),
        (b'{"command": ["x"], "shell": true}', "shell"),
        (b'{"command": ["x"], "limits": {"memory_bytes": -1}}', "limits.memory_bytes"),
        (b'{"command": []}', "command: a program is needed"),
        (b'{"command": ["a\\u0000"]}', "no NUL"),
        (b'{"command": ["x"], "env": {"A=B": "c"}}', "the name of a variable"),
        (b'{"command": ["x"], "inputs": ["a"]}', "inputs: it names 1 files, the task has 2 inputs"),
        (b'{"command": ["x"], "inputs": ["a", "a"]}', "inputs: two have the same name"),
        (b'{"command": ["x"], "inputs": ["a", "../b"]}', "inputs: '../b'"),
        (b'{"command": ["x"], "inputs": ["a", "/b"]}', "inputs: '/b'"),
        (b'{"command": ["x"], "inputs": ["a", "b\\n"]}', "control character"),
        (b'{"command": ["x"], "inputs": ["a", "b"], "outputs": ["x/./y"]}', "outputs: 'x/./y'"),
    ],
)
def test_a_payload_that_makes_no_sense_is_refused_with_its_field(payload: bytes, message: str) -> None:
    with pytest.raises(TaskError) as error:
        parse(payload, 2, 1)
    assert message in str(error.value)


async def test_inputs_that_are_in_each_others_way_are_refused(rig: Rig) -> None:
    failed = await rig.fails("true", values=[b"1", b"2"], inputs=["a", "a/b"])
    assert failed.startswith("the input 'a/b' cannot lie there")


async def test_ten_at_once(rig: Rig) -> None:
    made = await asyncio.gather(*(rig.run("sh", "-c", f"echo {n} > x", outputs=["x"]) for n in range(10)))
    assert made == [[b"%d\n" % n] for n in range(10)]
