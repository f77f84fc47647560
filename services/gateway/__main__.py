"""`python -m services.gateway`"""

import asyncio

from services.gateway.app import run as serve
from services.gateway.settings import Settings
from shared.objects.settings import ObjectsSettings
from shared.runtime import lifecycle, log
from shared.runtime.settings import load


def main() -> None:
    settings, storage = load(Settings), load(ObjectsSettings)
    log.configure("gateway", settings.log_level, settings.log_format)

    async def run(stop: asyncio.Event) -> None:
        await serve(settings, storage, stop)

    lifecycle.run(run)


if __name__ == "__main__":
    main()
