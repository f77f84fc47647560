"""The storages of a home, made once: each is noted in `storages.json` when it has its marker, and never made again.

So what goes missing later (the folder deleted, another disk where the home was) is missing, and the services say so. A home
from before there were markers gets them at its next start.
"""

import json
from pathlib import Path
from uuid import UUID

from deploy.local.home import Home, write_private
from shared.objects.s3 import open_objects
from shared.objects.settings import ObjectsSettings
from shared.objects.storage_init import init_bucket, init_folder


class Storages:
    """The storages of one home, by name."""

    def __init__(self, home: Home) -> None:
        self._file = home.path / "storages.json"

    def id(self, name: str) -> str | None:
        """The id of a storage that was made in this run or an earlier one; None if there is none of that name."""
        return self._known().get(name)

    def make_folder(self, name: str, folder: Path) -> None:
        """Makes a folder that is long-term storage, once."""
        if self.id(name) is None:
            folder.mkdir(mode=0o700, exist_ok=True)
            self._record(name, init_folder(folder, name, in_use=True).id)

    async def make_bucket(self, settings: ObjectsSettings) -> None:
        """Makes the bucket that the services work in, once."""
        name = settings.s3_bucket
        if self.id(name) is None:
            async with open_objects(settings) as objects:
                self._record(name, (await init_bucket(objects.bucket, name, in_use=True)).id)

    def _known(self) -> dict[str, str]:
        return dict(json.loads(self._file.read_text())) if self._file.exists() else {}

    def _record(self, name: str, id: UUID) -> None:
        write_private(self._file, json.dumps({**self._known(), name: str(id)}, indent=2) + "\n")
