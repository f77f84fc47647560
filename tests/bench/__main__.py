"""`make bench`"""

import asyncio

from tests.bench.compute import main

asyncio.run(main())
