"""Idempotency keys are kept for a week, and then are gone, however many there are."""

from shared.db.migrate import migrate
from shared.db.pool import open_pool
from shared.service.context import Context
from shared.service.inbox import forget_keys, once
from shared.service.schema import SCHEMA
from tests.support.databases import Database


async def test_a_key_is_kept_for_a_week(database: Database) -> None:
    asked = Context("ann", subject="hr.rpc.broker.offer.accept", key="k")

    async def work() -> bytes:
        done.append(1)
        return b"reply %d" % len(done)

    done: list[int] = []
    async with await open_pool(database.url("broker"), "broker") as pool:
        await migrate(pool, "broker", SCHEMA)
        assert await once(pool, asked, b"body", work) == await once(pool, asked, b"body", work) == b"reply 1"
        await pool.execute("UPDATE inbox SET created_at = now() - interval '6 days 23 hours'")
        assert await forget_keys(pool) == 0
        await pool.execute("UPDATE inbox SET created_at = now() - interval '7 days 1 hour'")
        await pool.execute(
            "INSERT INTO inbox (owner, key, subject, digest, created_at) "
            "SELECT 'bob', n::text, 's', '', now() - interval '8 days' FROM generate_series(1, 25) n"
        )
        assert await forget_keys(pool, most=10) == 26
        assert await once(pool, asked, b"body", work) == b"reply 2"
