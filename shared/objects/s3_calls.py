"""Calls on an S3 client: tried again while the store is away, with its errors made ours."""

import asyncio
import io
import time
from typing import Any

from shared.contracts.errors import Unavailable
from shared.objects.s3_errors import translate
from shared.runtime.log import log
from shared.runtime.retry import Backoff


class Caller:
    """One bucket. `patience`: seconds for which a store that is away is waited for, after which it is Unavailable."""

    def __init__(self, client: Any, bucket: str, patience: float, backoff: Backoff) -> None:
        self.client, self.bucket, self.patience, self.backoff = client, bucket, patience, backoff

    async def __call__(
        self,
        verb: str,
        key: str = "",
        *,
        body: bytes | memoryview | None = None,
        patience: float | None = None,
        **arguments: Any,
    ) -> Any:
        """The client's method `verb` on this bucket (and `key`). Raises HeadraceErrors only."""
        if key:
            arguments["Key"] = key
        until = time.monotonic() + (self.patience if patience is None else patience)
        tries = 0
        while True:
            if body is not None:  # a reader of its own for each try; aiohttp would write raw bytes in one go
                arguments["Body"] = io.BytesIO(body)
            try:
                return await getattr(self.client, verb)(Bucket=self.bucket, **arguments)
            except Exception as error:
                known = translate(error, self.bucket, key)
                if known is None:
                    raise
                if not isinstance(known, Unavailable) or time.monotonic() >= until:
                    raise known from error
                log.debug("objects.call_retried", verb=verb, key=key, error=known.message, tries=tries)
            await asyncio.sleep(self.backoff.delay(tries))
            tries += 1
