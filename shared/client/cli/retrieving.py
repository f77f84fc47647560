"""A retrieval, and its datablocks into a folder: downloaded, unpacked, every file checked."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from shared.client.cli.bars import Advance, by_bytes, by_steps
from shared.client.cli.dataset import Dataset
from shared.client.cli.fetch import Clients, Wanted, fetch, sha256
from shared.client.cli.names import Names
from shared.client.cli.steady import Pause, Steady
from shared.client.cli.trouble import FailedError
from shared.client.cli.unnamed import unnamed
from shared.client.cli.unpack import Unpacked, are_there, unpack
from shared.contracts.errors import Invalid
from shared.objects.layout import check_name

ROOT = "/data/v1/retrievals"


class Retrieving:
    """A retrieval of its own: datablocks that an earlier one has brought back are not brought again."""

    def __init__(self, api: Steady, pid: str, *, quiet: bool) -> None:
        self._api, self._quiet = api, quiet
        self.told: dict[str, Any] = api.post(ROOT, {"pid": pid, "id": str(uuid4())})
        self.dataset = Dataset(api, pid)
        self._addresses: dict[str, str] = {}
        self._page_of: dict[str, str | None] = {}

    def wait(self) -> None:
        """Until every datablock that is not damaged is back and validated."""
        pause = Pause()
        with by_steps("retrieve", quiet=self._quiet) as tell:
            while (seen := self._look())["status"] not in ("done", "partial"):
                if seen["status"] in ("failed", "cancelled"):
                    raise FailedError(f"{seen['pid']} could not be retrieved: {seen['error'] or seen['status']}")
                tell(seen["error"] or seen["step"], done=seen["blocks_back"], total=seen["datablocks"] or None)
                pause()

    def _look(self) -> dict[str, Any]:
        self.told = self._api.get(f"{ROOT}/{self.told['id']}")
        return self.told

    def blocks(self) -> Iterator[dict[str, Any]]:
        """All of them, page by page, with addresses that are valid from now."""
        token: str | None = None
        while True:
            page = self._page(token)
            yield from page["items"]
            if not (token := page["next"]):
                return

    def _page(self, token: str | None) -> dict[str, Any]:
        page: dict[str, Any] = self._api.get(f"{ROOT}/{self.told['id']}/urls", token=token)
        self._addresses = {one["name"]: one["url"] for one in page["items"]}  # only these: they are used in this order
        self._page_of = dict.fromkeys(self._addresses, token)
        return page

    def address(self, name: str) -> str:
        """Asked for once with all of its page, and again only when it was refused."""
        if not self._addresses:
            self._page(self._page_of[name])
        return self._addresses[name]

    def missing(self) -> Iterator[str]:
        """The files that did not come back: those of the damaged datablocks."""
        for block in self.blocks():
            if block.get("damage"):
                yield from (file["path"] for file in self.dataset.files_of(block["datablock"]))

    def refused(self) -> None:
        """The addresses of the page have expired."""
        self._addresses = {}


def bring(retrieving: Retrieving, folder: Path, keep_tars: bool, force: bool, quiet: bool) -> dict[str, int]:
    """Datablock by datablock: never more than one tar is there, unless they are kept. Damaged ones are passed over."""
    counts = {"written": 0, "unchanged": 0, "bytes": 0, "datablocks": 0}
    begun, names = any(folder.iterdir()), Names(folder)
    with Clients() as clients, by_bytes("download", retrieving.told["size"], quiet=quiet) as advance:
        for block in retrieving.blocks():
            if block.get("damage"):
                advance(block["size"])
                continue
            try:
                done = _there(retrieving, block, folder, names) if begun and not keep_tars else None
                if done is None:
                    done = _one(clients, retrieving, block, folder, keep_tars, force, advance, names)
                else:
                    advance(block["size"])
            except OSError as error:
                raise FailedError(f"{error.filename or folder}: {error.strerror}") from None
            for name, count in (("written", done.written), ("unchanged", done.there), ("bytes", done.size)):
                counts[name] += count
            counts["datablocks"] += 1
    return counts


def _there(retrieving: Retrieving, block: dict[str, Any], folder: Path, names: Names) -> Unpacked | None:
    """What an earlier call has unpacked is not downloaded again; None unless all files of the datablock are there."""
    return are_there(retrieving.dataset.files_of(block["datablock"]), folder, names)


def _one(
    clients: Clients,
    retrieving: Retrieving,
    block: dict[str, Any],
    folder: Path,
    keep_tars: bool,
    force: bool,
    advance: Advance,
    names: Names,
) -> Unpacked:
    try:
        name = check_name(block["name"])
    except Invalid as error:
        raise FailedError(f"a datablock is called {block['name']!r}: {error.message}") from None
    kept, bag = folder / name, name.removesuffix(".tar")
    reserved = {kept} if keep_tars else set()
    position = 0

    def report(at: int) -> None:
        nonlocal position
        advance(at - position)
        position = at

    def whole() -> bool:
        return kept.is_file() and kept.stat().st_size == block["size"] and sha256(kept) == block["chk"]

    if whole():
        report(block["size"])
        with kept.open("rb") as source:
            return unpack(source, bag, folder, force=force, reserved=reserved, names=names)
    with unnamed(folder) as part:
        wanted = Wanted(name, block["size"], block["chk"], lambda: retrieving.address(name), refused=retrieving.refused)
        fetch(clients, wanted, part, report)
        report(block["size"])
        done = unpack(part.file, bag, folder, force=force, reserved=reserved, names=names)
        if keep_tars:
            if kept.exists() and not force and not whole():
                raise FailedError(f"{kept} is there already, with other content (--force replaces)")
            part.place(kept)
    return done
