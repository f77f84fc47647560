"""`python -m deploy.local.people add|remove|list`: who has a user of the bus, while everything runs.

Each is an account of the server's own (deploy/nats/accounts.py). Adding somebody disturbs nobody; who is removed is cut off
at once. The password is made here, and lies in the person's context for the `nats` tool, readable by the owner only.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path
from urllib.parse import urlsplit

from deploy.local.home import Home, HomeError
from deploy.local.nats import Nats
from deploy.nats.accounts import is_person
from deploy.nats.reload import ReloadError, reload


async def add(home: Home, name: str) -> Path:
    """Gives somebody a user of the bus; returns their context for the `nats` tool. HomeError if that cannot be."""
    if not is_person(name):
        raise HomeError(
            f"{name!r} cannot be the name of a person: letters, digits, - and _, at most 63, and no user of the system"
        )
    people = home.people()
    if name in people:
        await _apply(home)  # the server may not have taken it over when that was done
        raise HomeError(f"{name} has a user of the bus already")
    home.set_people((*people, name))
    await _apply(home)
    return home.context(name)


async def remove(home: Home, name: str) -> None:
    """Takes it away, with its password; who is connected with it is cut off. HomeError if there is none."""
    people = home.people()
    if name in people:
        home.set_people(tuple(each for each in people if each != name))
        home.forget_secret(f"nats.{name}")
        home.context(name).unlink(missing_ok=True)
    await _apply(home)  # also of somebody who is not there: the server may not have taken it over when that was done
    if name not in people:
        raise HomeError(f"there is no {name} among {', '.join(people) or 'nobody'}")


async def _apply(home: Home) -> None:
    """Makes a running server take over who has a user; one that does not run reads it when it starts."""
    file = home.path / "address.json"
    if not file.exists():
        return
    address = json.loads(file.read_text())
    ports = [urlsplit(address[key]).port or 0 for key in ("nats", "nats_monitor")]
    server = Nats(home, *ports)
    server.configure()
    await reload(server.url, server.secrets["nats.system"])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.local.people", description=__doc__)
    parser.add_argument("action", choices=("add", "remove", "list"))
    parser.add_argument("name", nargs="?", default="", help="who; also the user in the subjects hr.cmd.<user>.…")
    parser.add_argument("--home", type=Path, default=Path(".headrace"), help="where everything is kept (.headrace)")
    options = parser.parse_args()
    if (options.action == "list") == bool(options.name):
        parser.error("add and remove take a name, list does not")
    if not options.home.is_dir():
        parser.error(f"there is no folder {options.home}: `make run` makes it")
    return options


def main() -> int:
    """Carries out the command line; returns the exit status."""
    options = _arguments()
    home = Home(options.home)
    try:
        match options.action:
            case "add":
                context = asyncio.run(add(home, options.name))
                print(f"{options.name} has a user of the bus; its password is in {context}")
            case "remove":
                asyncio.run(remove(home, options.name))
                print(f"{options.name} has no user of the bus any more")
            case _:
                print("\n".join(home.people()))
    except (HomeError, ReloadError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
