"""Turns what goes wrong in the database into an error that the caller can do something with."""

import asyncpg

from shared.contracts.errors import Invalid, TimedOut
from shared.db.pool import translate
from shared.runtime.log import log
from shared.service.context import Context, Handler


def database(handler: Handler) -> Handler:
    """The handler, with errors of PostgreSQL as TimedOut, Invalid or Unavailable."""

    async def translated(ctx: Context, data: bytes) -> bytes:
        try:
            return await handler(ctx, data)
        except asyncpg.QueryCanceledError as error:
            raise TimedOut("the database took too long for this: ask for less at once") from error
        except asyncpg.DataError as error:
            # The last net: what a field may hold stands where it is declared.
            log.error("request.not_storable", subject=ctx.subject, user=ctx.user, error=repr(error), exc_info=True)
            raise Invalid("a value lies outside of what can be stored; the log says which, under the trace") from error
        except Exception as error:
            if away := translate(error):
                raise away from error
            raise

    return translated
