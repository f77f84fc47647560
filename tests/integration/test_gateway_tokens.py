"""The admin's token file: what is in it now counts, what was in it before does not."""

from services.gateway.identity.auth import digest
from services.gateway.identity.tokens import Tokens
from services.gateway.identity.users import Users
from services.gateway.schema import SCHEMA
from shared.db.migrate import migrate
from shared.db.pool import open_pool
from tests.support.databases import Database


async def test_a_new_token_in_the_file_revokes_the_one_before(database: Database) -> None:
    async with await open_pool(database.url("gateway"), "gateway") as pool:
        await migrate(pool, "gateway", SCHEMA)
        tokens, users = Tokens(pool), Users(pool)
        await users.put_admin()
        await users.add("ada", ["user"])

        async def valid() -> set[str]:
            return {name for name in ("first", "second", "made", "ada") if await tokens.find(digest(name))}

        await tokens.put_file_token("first")
        await tokens.put_file_token("first")
        made = await tokens.add("admin", "made")
        await tokens.add("ada", "ada")
        assert await valid() == {"first", "made", "ada"}
        await tokens.put_file_token("second")
        assert await valid() == {"second", "made", "ada"}
        await tokens.revoke(made)
        await tokens.put_file_token("second")  # the next start
        assert await valid() == {"second", "ada"}
        await tokens.put_file_token("first")
        assert await valid() == {"first", "ada"}
