"""A retrieval, and its datablocks into a folder: downloaded, unpacked, every file checked."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from shared.client.cli.api import Api
from shared.client.cli.file_names import FileNames
from shared.client.cli.progress_bars import Advance, by_bytes, by_steps
from shared.client.cli.unpack import Unpacked, are_there, unpack
from shared.client.downloads import Source, download, sha256
from shared.client.errors import FailedError
from shared.client.partial_file import partial_file
from shared.client.paths import DATA
from shared.client.polling import Pause
from shared.contracts.errors import Invalid
from shared.objects.layout import check_name

RETRIEVALS = f"{DATA}/retrievals"


class CommandRetrieval:
    """A retrieval of its own: datablocks that an earlier one has brought back are not brought again."""

    def __init__(self, api: Api, pid: str, *, quiet: bool) -> None:
        self._api, self._quiet = api, quiet
        self.document: dict[str, Any] = api.post(RETRIEVALS, {"pid": pid, "id": str(uuid4())})
        self.dataset = api.client.datasets.one(pid)
        self._addresses: dict[str, str] = {}
        self._page_of: dict[str, str | None] = {}

    def wait(self) -> None:
        """Until every datablock that is not damaged is back and validated."""
        pause = Pause()
        with by_steps("retrieve", quiet=self._quiet) as note:
            while (seen := self._look())["status"] not in ("done", "partial"):
                if seen["status"] in ("failed", "cancelled"):
                    raise FailedError(f"{seen['pid']} could not be retrieved: {seen['error'] or seen['status']}")
                note(seen["error"] or seen["step"], done=seen["blocks_back"], total=seen["datablocks"] or None)
                self._api.run(pause())

    def _look(self) -> dict[str, Any]:
        self.document = self._api.get(f"{RETRIEVALS}/{self.document['id']}")
        return self.document

    def datablocks(self) -> Iterator[dict[str, Any]]:
        """All of them, page by page, with addresses that are valid from now."""
        return self._api.each(self._datablocks())

    async def _datablocks(self) -> AsyncIterator[dict[str, Any]]:
        token: str | None = None
        while True:
            page = await self._page(token)
            for datablock in page["items"]:
                yield datablock
            if not (token := page["next"]):
                return

    async def _page(self, token: str | None) -> dict[str, Any]:
        page: dict[str, Any] = await self._api.client.http.get(f"{RETRIEVALS}/{self.document['id']}/urls", token=token)
        self._addresses = {one["name"]: one["url"] for one in page["items"]}  # only these: they are used in this order
        self._page_of = dict.fromkeys(self._addresses, token)
        return page

    async def address(self, name: str) -> str:
        """Asked for once with all of its page, and again only when it was refused."""
        if not self._addresses:
            await self._page(self._page_of[name])
        return self._addresses[name]

    def missing(self) -> Iterator[str]:
        """The files that did not come back: those of the damaged datablocks."""
        for datablock in self.datablocks():
            if datablock.get("damage"):
                yield from (file["path"] for file in self.files(datablock))

    def files(self, datablock: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The files of a datablock, page after page."""
        return self._api.each(self.dataset.files(datablock["datablock"]))

    def refused(self) -> None:
        """The addresses of the page have expired."""
        self._addresses = {}


def bring(
    api: Api, retrieval: CommandRetrieval, folder: Path, keep_tars: bool, force: bool, quiet: bool
) -> dict[str, int]:
    """Datablock by datablock: never more than one tar is there, unless they are kept. Damaged ones are passed over."""
    counts = {"written": 0, "unchanged": 0, "bytes": 0, "datablocks": 0}
    begun, names = any(folder.iterdir()), FileNames(folder)
    with by_bytes("download", retrieval.document["size"], quiet=quiet) as advance:
        for block in retrieval.datablocks():
            if block.get("damage"):
                advance(block["size"])
                continue
            try:
                done = _there(retrieval, block, folder, names) if begun and not keep_tars else None
                if done is None:
                    done = _one(api, retrieval, block, folder, keep_tars, force, advance, names)
                else:
                    advance(block["size"])
            except OSError as error:
                raise FailedError(f"{error.filename or folder}: {error.strerror}") from None
            for name, count in (("written", done.written), ("unchanged", done.there), ("bytes", done.size)):
                counts[name] += count
            counts["datablocks"] += 1
    return counts


def _there(retrieval: CommandRetrieval, block: dict[str, Any], folder: Path, names: FileNames) -> Unpacked | None:
    """What an earlier call has unpacked is not downloaded again; None unless all files of the datablock are there."""
    return are_there(retrieval.files(block), folder, names)


def _one(
    api: Api,
    retrieval: CommandRetrieval,
    block: dict[str, Any],
    folder: Path,
    keep_tars: bool,
    force: bool,
    advance: Advance,
    names: FileNames,
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
        with kept.open("rb") as tar:
            return unpack(tar, bag, folder, force=force, reserved=reserved, names=names)
    with partial_file(folder) as part:
        source = Source(name, block["size"], block["chk"], lambda: retrieval.address(name), refused=retrieval.refused)
        api.run(download(api.client.object_storage, source, part, report))
        report(block["size"])
        done = unpack(part.file, bag, folder, force=force, reserved=reserved, names=names)
        if keep_tars:
            if kept.exists() and not force and not whole():
                raise FailedError(f"{kept} is there already, with other content (--force replaces)")
            part.place(kept)
    return done
