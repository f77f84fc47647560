"""Named SQL: a file of blocks, each under a line `-- name: <name>`."""

import re
from pathlib import Path

_BLOCK = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


class Queries(dict[str, str]):
    """The blocks of a file; an unknown name says where it was looked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        parts = _BLOCK.split(path.read_text(encoding="utf-8"))
        names = parts[1::2]
        if len(set(names)) != len(names):
            raise ValueError(f"{path}: a name stands twice")
        super().__init__(zip(names, (text.strip().rstrip(";") for text in parts[2::2]), strict=True))

    def __missing__(self, name: str) -> str:
        raise KeyError(f"no query {name!r} in {self.path}")


def load(module_file: str, name: str = "queries.sql") -> Queries:
    """The queries beside a module: `Q = load(__file__)`."""
    return Queries(Path(module_file).with_name(name))
