"""SQL in files: named blocks, named parameters, named states.

A module has its SQL beside it. `sessions.sql`:

    -- name: move_session
    -- The guard: only from states that are not over.
    UPDATE sessions SET status = :status, changed_at = now()
    WHERE id = :session AND status IN ({session.live}) RETURNING *;

and the module calls each block through a typed function of its own (`sessions.py`):

    Q = load(__file__, "sessions.sql", MACHINES)

    async def move_session(db: Db, session: UUID, status: SessionStatus) -> Row | None:
        return await Q.move_session.fetchrow(db, session=session, status=status)

**Blocks.** Each stands under a line `-- name: <name>`, and is `Q.<name>` from then on.
**Parameters.** `:session` becomes `$1`, `$2`, … once, when the file is loaded; a cast is written `:ids::uuid[]`. A call passes
every parameter by keyword, and TypeError names one that is missing or too many. `:name` means nothing inside literals, comments, dollar
quotes and double quotes; `::`, `:=` and slices (`a[1:2]`, `a[1:n]`) are left alone; `[:n]` is refused, since it could be either.
**States.** `{task.completed}` becomes that state's number, `{task.open}` the numbers of a set with commas between
(`status IN ({task.open})`, `= ANY(ARRAY[{task.open}]::smallint[])`). Both come from the machines that `load` is given: `noun.state` in
lower case, and the `sets` of the machine. All other braces are left alone. An unknown name is an error at start, with file, block and name;
so is a state by its number (`status = 2`).

`Q["name"]` is the Query of a name that is known only at run time. A template, whose pieces a module puts in, is a block too: its
`{pieces}` have no dot, and `text` and `parameters` are what it is made of.
"""

import re
from collections.abc import Iterable, Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

from shared.db.render import render_query, state_names
from shared.runtime.machine import Machine

_BLOCK = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)

Db = Any
"""asyncpg's pool or connection."""
Row = Any
"""asyncpg's record: a mapping from column to value."""


class Query:
    """One block: `text` as it is sent, and the names of its `parameters` in their order. Call it with every parameter by keyword."""

    __slots__ = ("_known", "_order", "name", "parameters", "text")

    def __init__(self, name: str, text: str, parameters: tuple[str, ...] = ()) -> None:
        self.name, self.text, self.parameters = name, text, parameters
        self._known = frozenset(parameters)
        self._order = itemgetter(*parameters) if len(parameters) > 1 else None

    def values(self, values: dict[str, Any]) -> tuple[Any, ...]:
        """`values` in the order of the parameters; TypeError names what is missing or too many."""
        if values.keys() != self._known:
            wrong = ", ".join(sorted(values.keys() ^ self._known))
            raise TypeError(f"query {self.name}: {wrong} missing or too many; it takes {', '.join(self.parameters)}")
        if self._order is None:
            return tuple(values.values())
        ordered: tuple[Any, ...] = self._order(values)
        return ordered

    async def fetch(self, db: Db, /, **values: Any) -> list[Row]:
        """All rows."""
        rows: list[Row] = await db.fetch(self.text, *self.values(values))
        return rows

    async def fetchrow(self, db: Db, /, **values: Any) -> Row:
        """The first row; None if there is none."""
        return await db.fetchrow(self.text, *self.values(values))

    async def fetchval(self, db: Db, /, **values: Any) -> Any:
        """The first column of the first row; None if there is none."""
        return await db.fetchval(self.text, *self.values(values))

    async def execute(self, db: Db, /, **values: Any) -> str:
        """PostgreSQL's command tag, such as `UPDATE 3`."""
        tag: str = await db.execute(self.text, *self.values(values))
        return tag

    async def executemany(self, db: Db, rows: Iterable[dict[str, Any]], /) -> None:
        """Once for each of `rows`, in one round trip and one transaction."""
        await db.executemany(self.text, [self.values(row) for row in rows])


class Queries:
    """The blocks of a file: `Q.name`, or `Q["name"]`, is a Query. An unknown name says where it was looked for."""

    def __init__(self, path: Path, machines: Iterable[Machine[Any]] = ()) -> None:
        names = state_names(machines)
        blocks = _BLOCK.split(path.read_text(encoding="utf-8"))[1:]
        self._path, self._queries = path, dict[str, Query]()
        for name, text in zip(blocks[::2], blocks[1::2], strict=True):
            if name in self._queries:
                raise ValueError(f"{path}: {name} stands twice")
            self._queries[name] = Query(name, *render_query(text.strip().rstrip(";"), names, f"{path}, {name}"))
        self.__dict__.update(self._queries)  # found without a call of __getattr__

    def __getattr__(self, name: str) -> Query:
        raise AttributeError(f"no query {name!r} in {self._path}")

    def __getitem__(self, name: str) -> Query:
        if name not in self._queries:
            raise KeyError(f"no query {name!r} in {self._path}")
        return self._queries[name]

    def __iter__(self) -> Iterator[Query]:
        return iter(self._queries.values())


def load(module_file: str, name: str = "queries.sql", machines: Iterable[Machine[Any]] = ()) -> Queries:
    """The queries beside a module: `Q = load(__file__, "sessions.sql", MACHINES)`. ValueError for what cannot be rendered."""
    return Queries(Path(module_file).with_name(name), machines)
