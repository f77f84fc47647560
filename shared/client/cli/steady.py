"""Questions of commands that take long: a server that is away for a moment does not end them.

Only for requests that may be repeated. Before the first answer there is no patience: a wrong address is said at once.
"""

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from shared.client.cli.api import Api
from shared.client.cli.trouble import RefusedError, UnreachableError
from shared.runtime.retry import Backoff

GIVE_UP = 60.0
"""Seconds for which it is asked again."""
AGAIN = Backoff(first=0.2, ceiling=3)
PACE = Backoff(first=0.1, factor=1.3, ceiling=2)
"""Between two looks: long-term storage takes from a moment to hours."""
_AWAY = frozenset({429, 500, 502, 503, 504, 507})


class Steady:
    def __init__(self, api: Api) -> None:
        self._api, self._reached = api, False

    def get(self, path: str, **query: Any) -> Any:
        return self.ask(lambda: self._api.get(path, **query))

    def post(self, path: str, body: Any) -> Any:
        return self.ask(lambda: self._api.post(path, body))

    def ask(self, call: Callable[[], Any]) -> Any:
        """Anything that may be repeated."""
        tries, since = 0, time.monotonic()
        while True:
            try:
                found = call()
            except (RefusedError, UnreachableError) as error:
                passing = isinstance(error, UnreachableError) or error.status in _AWAY
                self._reached = self._reached or not passing
                if not passing or not self._reached or time.monotonic() - since > GIVE_UP:
                    raise
                time.sleep(AGAIN.delay(tries))
                tries += 1
            else:
                self._reached = True
                return found


class Pause:
    """Waits between two looks, longer from time to time."""

    def __init__(self) -> None:
        self._looks = 0

    def __call__(self) -> None:
        time.sleep(PACE.delay(self._looks))
        self._looks += 1


def segment(text: str) -> str:
    """As one segment of a path: a pid's slash is no separator."""
    return quote(text, safe="")
