"""`python -m deploy.keys`: the keys with which services sign for whom they ask (docs/adr/0035-delegations.md).

    python -m deploy.keys make FOLDER gateway scheduler archiver retriever broker.site-a
    python -m deploy.keys rotate FOLDER archiver     another key; the one before stays good until it is retired
    python -m deploy.keys retire FOLDER archiver     only the newest key is good

`<issuer>.key` is for that service alone (HEADRACE_DELEGATION_KEY_FILE); `issuers.json`, the public keys, for all of them
(HEADRACE_ISSUERS_FILE). A running service reads `issuers.json` again when it meets a signature that it does not know.
"""

import argparse
import fcntl
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from deploy.local.home import write_file, write_private
from shared.bus.signing_keys import generate
from shared.contracts.subjects import SERVICES

PUBLIC: Final = "issuers.json"


def private_file(folder: Path, issuer: str) -> Path:
    """Where an issuer's private key is."""
    return folder / f"{issuer}.key"


def make(folder: Path, issuers: Iterable[str]) -> None:
    """Makes the keys that are missing; those that are there stay."""
    with _locked(folder) as known:
        for issuer in issuers:
            if not known.get(issuer) or not private_file(folder, issuer).exists():
                _add(folder, known, issuer)


def rotate(folder: Path, issuer: str) -> None:
    """Gives an issuer another key. What the one before has signed stays good until `retire`."""
    with _locked(folder) as known:
        _add(folder, known, issuer)


def retire(folder: Path, issuer: str) -> None:
    """From now on only the issuer's newest key is good. KeyError if there is none."""
    with _locked(folder) as known:
        _write(folder, known | {issuer: known[issuer][:1]})


def _add(folder: Path, known: dict[str, list[str]], issuer: str) -> None:
    private, public = generate(issuer)
    known[issuer] = [public, *known.get(issuer, [])]
    _write(folder, known)  # first: whoever signs with the new key is believed
    write_private(private_file(folder, issuer), msgspec.json.encode(private).decode() + "\n")


def _write(folder: Path, known: dict[str, list[str]]) -> None:
    text = msgspec.json.format(msgspec.json.encode(known), indent=2)
    write_file(folder / PUBLIC, text + b"\n")


@contextmanager
def _locked(folder: Path) -> Iterator[dict[str, list[str]]]:
    """The public keys, newest first; nobody else changes them meanwhile."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        file = folder / PUBLIC
        yield msgspec.json.decode(file.read_bytes(), type=dict[str, list[str]]) if file.exists() else {}
    finally:
        os.close(lock)


def is_issuer(name: str) -> bool:
    """Whether somebody may sign under this name: a service, or a site's broker."""
    service, _, site = name.partition(".")
    return name in SERVICES[:-1] or (service == "broker" and site.replace("-", "").replace("_", "").isalnum())


def main() -> int:
    """Carries out the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m deploy.keys", description=__doc__.partition("\n")[0])
    parser.add_argument("action", choices=("make", "rotate", "retire"))
    parser.add_argument("folder", type=Path, help="where the key files are")
    parser.add_argument("issuer", nargs="+", help=f"{', '.join(SERVICES[:-1])}, or broker.<site>")
    options = parser.parse_args()
    if wrong := [name for name in options.issuer if not is_issuer(name)]:
        parser.error(f"{wrong[0]!r} is no issuer")
    if options.action == "make":
        make(options.folder, options.issuer)
    for issuer in options.issuer if options.action != "make" else ():
        if not private_file(options.folder, issuer).exists():
            parser.error(f"{issuer} has no key in {options.folder}")
        (rotate if options.action == "rotate" else retire)(options.folder, issuer)
    print("\n".join(str(private_file(options.folder, issuer)) for issuer in options.issuer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
