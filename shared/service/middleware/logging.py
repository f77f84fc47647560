"""One line in the log for each request: failures as errors, outages as warnings, expected refusals as information."""

import time

from shared.contracts.errors import HeadraceError, Internal
from shared.runtime.log import log
from shared.service.context import Context, Handler


def logging(handler: Handler) -> Handler:
    """The handler, with a line in the log for what became of the request."""

    async def logged(ctx: Context, data: bytes) -> bytes:
        began = time.perf_counter()
        try:
            reply = await handler(ctx, data)
        except HeadraceError as error:
            report = log.error if isinstance(error, Internal) else log.warning if error.retryable else log.info
            cause = {"error": repr(error.__cause__)} if error.retryable and error.__cause__ else {}
            report("request.refused", subject=ctx.subject, user=ctx.user, code=error.code, why=error.message, **cause)
            raise
        except Exception as error:
            log.error("request.failed", subject=ctx.subject, user=ctx.user, error=repr(error), exc_info=True)
            raise
        log.debug("request.done", subject=ctx.subject, user=ctx.user, ms=round((time.perf_counter() - began) * 1e3, 2))
        return reply

    return logged
