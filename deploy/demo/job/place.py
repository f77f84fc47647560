"""Where it is to run: offers from all sites for a workstep over the dataset, and the best one accepted."""

import asyncio
import time
from typing import Any

from shared.client import Headrace
from shared.client.errors import FailedError
from shared.client.paths import EXECUTION

PATIENCE = 180.0
"""Seconds for which no site need have room: an earlier run's reservation ends by itself."""
NAME = "FITS catalogue"


async def leave_open_sessions(client: Headrace) -> int:
    """Closes what an earlier run of this job left open, so that its site has its cores again; how many."""
    left_open = [one.id async for one in client.sessions.list(status="running") if one.name == NAME]
    for session in left_open:
        await client.sessions.close(session)
    return len(left_open)


async def offers(client: Headrace, pid: str) -> dict[str, Any]:
    """The workstep is stored, then every site is asked; the offers, best first. FailedError if no site has any."""
    request = {
        "meta": {"name": NAME},
        "executable": {"kind": "urn:headrace:kind:function", "function": "measure"},
        "compute": {
            "kind": "https://www.purl.org/ivoa.net/Calycopis-openapi/schema/v1.0/kinds/compute/"
            "simple-compute-resource.yaml",
            "cores": {"min": 1, "max": 2},
            "memory": {"min": 1},
        },
        "data": [{"kind": "urn:headrace:kind:dataset", "pid": pid}],
    }
    workstep = await client.http.post(f"{EXECUTION}/worksteps", {"name": NAME, "request": request})
    until = time.monotonic() + PATIENCE
    while True:
        made: dict[str, Any] = await client.http.post(f"{EXECUTION}/requests", {"workstep": workstep["id"]})
        if made["result"] == "YES":
            return made
        if time.monotonic() > until:
            raise FailedError("no site offers: " + "; ".join(one["message"] for one in made["meta"]["messages"]))
        await asyncio.sleep(1)


async def accept(client: Headrace, offer: dict[str, Any]) -> dict[str, Any]:
    """The execution session; `session` in it is the compute session at the site."""
    body = {"kind": "uri:enum-value-update", "path": "/phase", "value": "ACCEPTED"}
    accepted: dict[str, Any] = await client.http.post(f"{EXECUTION}/sessions/{offer['meta']['uuid']}", body)
    if "session" not in accepted:
        raise FailedError(f"{offer['site']} has accepted, but made no session: {accepted['phase']}")
    return accepted
