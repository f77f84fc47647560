"""The files of which a schema is made: `schema/0001_schema.sql` and so on, and `schema/functions/<function>.sql`.

Each package that has tables has such a folder, and says so in its `__init__.py`: `SCHEMA = SchemaFiles.of(__file__, MACHINES)`.

**Numbered files** hold tables, types, indexes and data. Each is applied once, in the order of their names, and never changed
afterwards. **Functions** are applied whenever their text has changed, so that each is defined once and is read as it is.
Both may name states (`{task.completed}`, shared/db/sql.py). Sets of states (`{task.open}`) are for functions alone: a set may
grow, and what a numbered file made would stay as it was on databases that are there already.

What the callers of a function know of it (arguments, and the rows it returns) never changes: such a change is a new function, `_v2`. The
old one stays for processes of the version before, and a numbered file of the next version drops it (docs/adr/0030-schema-files.md).
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.db.render import render_states, state_names
from shared.runtime.machine import Machine


@dataclass(frozen=True)
class SchemaFile:
    """One file: `name` says it in the database (`scheduler/0001_schema.sql`), `text` is what is sent, with numbers for states.

    `checksum`: of a numbered file as it was written, of a function as it is sent.
    """

    name: str
    text: str
    checksum: str


@dataclass(frozen=True)
class SchemaFiles:
    """The files of one package. `machines`: those whose states they may name."""

    folder: Path
    machines: tuple[Machine[Any], ...] = ()

    @classmethod
    def of(cls, init_file: str, machines: Iterable[Machine[Any]] = ()) -> "SchemaFiles":
        """The folder of this `__init__.py`."""
        return cls(Path(init_file).parent, tuple(machines))

    def numbered(self) -> Iterator[SchemaFile]:
        """In the order in which they are applied. ValueError for a state that there is not."""
        names = state_names(self.machines, sets=False)
        for file in sorted(self.folder.glob("[0-9]*.sql")):
            text = file.read_text(encoding="utf-8")
            yield SchemaFile(self._name(file), render_states(text, names, str(file)), _checksum(text))

    def functions(self) -> Iterator[SchemaFile]:
        """ValueError for a state that there is not, and for a file that is not named after the one function in it."""
        names = state_names(self.machines)
        for file in sorted(self.folder.glob("functions/*.sql")):
            text = render_states(file.read_text(encoding="utf-8"), names, str(file))
            if re.findall(r"^CREATE OR REPLACE FUNCTION (\w+)", text, re.MULTILINE) != [file.stem]:
                raise ValueError(f"{file}: it is to hold CREATE OR REPLACE FUNCTION {file.stem}, and no other")
            yield SchemaFile(self._name(file), text, _checksum(text))

    def _name(self, file: Path) -> str:
        return f"{self.folder.parent.name}/{file.relative_to(self.folder).as_posix()}"


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
