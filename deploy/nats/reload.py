"""A running server takes over its changed configuration: people who were added come in, those who were removed are cut off."""

import json
from typing import Final

import nats
from nats.aio.client import Client

_TWICE: Final = 2
"""nats-server 2.15.1 makes the imports of an account that is new only at the next reload (docs/adr/0019-accounts.md)."""


class ReloadError(Exception):
    """The server is not there, or refuses its configuration; it goes on with the one that it has."""


async def reload(url: str, password: str, *, timeout: float = 10) -> None:
    """Makes the server at `url` read its configuration again. `password`: of the user `system`. `timeout`: seconds.

    Nobody else's connection is touched. ReloadError if it is not there or refuses.
    """

    client = Client()
    login = {"user": "system", "password": password}
    try:
        await client.connect(url, **login, allow_reconnect=False, connect_timeout=5, error_cb=_silent)
        subject = f"$SYS.REQ.SERVER.{client._server_info['server_id']}.RELOAD"
        for _ in range(_TWICE):
            answer = json.loads((await client.request(subject, b"", timeout=timeout)).data)
            if refused := answer.get("error"):
                raise ReloadError(f"the server keeps its configuration: {refused.get('description', refused)}")
    except (OSError, nats.errors.Error) as error:
        raise ReloadError(f"{url} does not say that it has read its configuration: {error!r}") from error
    finally:
        await client.close()


async def _silent(_error: Exception) -> None:
    """nats-py would print what is raised here anyway."""
