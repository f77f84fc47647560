"""The database itself refuses a move that no machine's table has: whatever statement makes it, whoever wrote the statement."""

from collections.abc import Iterator
from typing import Any

from services.scheduler.machine import MACHINES, TASK
from shared.contracts.states import TaskStatus as T
from shared.runtime.machine import Machine

MARKS = {(int(source), int(T.CREATING)) for source in TASK.moves["rerun"][0]}
"""`rerun_v1` marks what it has taken as CREATING, and takes the mark off again before it ends."""

_CHECK = """
CREATE TABLE legal_moves (noun text, source smallint, target smallint, PRIMARY KEY (noun, source, target));
CREATE TABLE moves_seen (LIKE legal_moves INCLUDING ALL);
CREATE FUNCTION check_move() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NOT EXISTS (SELECT 1 FROM legal_moves
                   WHERE noun = TG_ARGV[0] AND source = OLD.status AND target = NEW.status) THEN
        RAISE 'illegal: % % from state % to %', TG_ARGV[0], NEW.id, OLD.status, NEW.status;
    END IF;
    INSERT INTO moves_seen VALUES (TG_ARGV[0], OLD.status, NEW.status) ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
"""
_WATCH = """
CREATE TRIGGER check_move AFTER UPDATE OF status ON {table} FOR EACH ROW WHEN (OLD.status <> NEW.status)
    EXECUTE FUNCTION check_move('{noun}');
"""


def legal(machine: Machine[Any]) -> Iterator[tuple[str, int, int]]:
    """The moves that change a row's state, as (noun, source, target)."""
    for sources, target in machine.moves.values():
        yield from ((machine.noun, int(source), int(target)) for source in sources - {target})


async def refuse_illegal_moves(pool: Any) -> None:
    """From now on every UPDATE of a state in this schema is checked, and noted in `moves_seen`."""
    await pool.execute(_CHECK)
    back = {(source, target) for target, source in MARKS}
    rows = {move for machine in MACHINES for move in legal(machine)}
    rows |= {("task", source, target) for source, target in MARKS | back}
    await pool.copy_records_to_table("legal_moves", records=sorted(rows))
    for machine in MACHINES:
        await pool.execute(_WATCH.format(table=f"{machine.noun}s", noun=machine.noun))


async def moves_seen(pool: Any) -> set[tuple[str, int, int]]:
    """The moves that were made since."""
    return {tuple(row) for row in await pool.fetch("SELECT noun, source, target FROM moves_seen")}


def verbs_never_seen(seen: set[tuple[str, int, int]]) -> set[str]:
    """The verbs of the tables, as `task cancel`, of which no move was made. (A derived state's verbs are never seen, and those that pass a mark.)"""
    return {
        f"{machine.noun} {verb}"
        for machine in MACHINES
        for verb, (sources, target) in machine.moves.items()
        if not any((machine.noun, int(source), int(target)) in seen for source in sources)
    }
