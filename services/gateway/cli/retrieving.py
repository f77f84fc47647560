"""A retrieval, and its datablocks into a folder: downloaded, unpacked, every file checked."""

from pathlib import Path
from typing import Any
from uuid import uuid4

from services.gateway.cli.bars import Advance, by_bytes, by_steps
from services.gateway.cli.fetch import Wanted, fetch, sha256
from services.gateway.cli.steady import Pause, Steady
from services.gateway.cli.trouble import FailedError
from services.gateway.cli.unpack import Unpacked, unpack
from shared.contracts.errors import Invalid
from shared.objects.layout import check_name

ROOT = "/data/v1/retrievals"


class Retrieving:
    """A retrieval of its own: datablocks that an earlier one has brought back are not brought again."""

    def __init__(self, api: Steady, pid: str, *, quiet: bool) -> None:
        self._api, self._quiet = api, quiet
        self.told: dict[str, Any] = api.post(ROOT, {"pid": pid, "id": str(uuid4())})

    def wait(self) -> None:
        """Until every datablock is back and validated."""
        pause = Pause()
        with by_steps("retrieve", quiet=self._quiet) as tell:
            while (seen := self._look())["status"] != "done":
                if seen["status"] in ("failed", "cancelled"):
                    raise FailedError(f"{seen['pid']} could not be retrieved: {seen['error'] or seen['status']}")
                tell(seen["error"] or seen["step"], done=seen["blocks_back"], total=seen["datablocks"] or None)
                pause()

    def _look(self) -> dict[str, Any]:
        self.told = self._api.get(f"{ROOT}/{self.told['id']}")
        return self.told

    def blocks(self) -> list[dict[str, Any]]:
        """With addresses that are valid from now."""
        items: list[dict[str, Any]] = self._api.get(f"{ROOT}/{self.told['id']}/urls")["items"]
        return items

    def address(self, name: str) -> str:
        return next(str(one["url"]) for one in self.blocks() if one["name"] == name)


def bring(
    retrieving: Retrieving, blocks: list[dict[str, Any]], folder: Path, keep_tars: bool, force: bool, quiet: bool
) -> dict[str, int]:
    """Datablock by datablock: never more than one tar is there, unless they are kept."""
    total = sum(one["size"] for one in blocks)
    counts = {"written": 0, "unchanged": 0, "bytes": 0}
    with by_bytes("download", total, quiet=quiet) as advance:
        for block in blocks:
            done = _one(retrieving, block, folder, keep_tars, force, advance)
            for name, count in (("written", done.written), ("unchanged", done.there), ("bytes", done.size)):
                counts[name] += count
    return counts


def _one(
    retrieving: Retrieving,
    block: dict[str, Any],
    folder: Path,
    keep_tars: bool,
    force: bool,
    advance: Advance,
) -> Unpacked:
    try:
        name = check_name(block["name"])
    except Invalid as error:
        raise FailedError(f"a datablock is called {block['name']!r}: {error.message}") from None
    kept, part = folder / name, folder / f"{name}.part"
    position = 0

    def report(at: int) -> None:
        nonlocal position
        advance(at - position)
        position = at

    try:
        whole = kept.is_file() and kept.stat().st_size == block["size"] and sha256(kept) == block["chk"]
        if not whole:
            fetch(Wanted(name, block["size"], block["chk"], lambda: retrieving.address(name)), part, report)
        report(block["size"])
        source = kept if whole else part
        reserved = {source, kept} if keep_tars else {source}
        done = unpack(source, name.removesuffix(".tar"), folder, force=force, reserved=reserved)
        if keep_tars and not whole:
            if kept.exists() and not force:
                raise FailedError(f"{kept} is there already, with other content (--force replaces)")
            part.replace(kept)
        part.unlink(missing_ok=True)
    except OSError as error:
        raise FailedError(f"{error.filename or folder}: {error.strerror}") from None
    return done
