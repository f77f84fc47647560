"""A folder for a stack: deleted at the end."""

import shutil
import tempfile
from pathlib import Path


class folder:
    def __enter__(self) -> Path:
        self._path = Path(tempfile.mkdtemp(prefix="headrace-"))
        self._path.chmod(0o711)
        return self._path / "home"

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._path, ignore_errors=True)
