"""The Python client of Headrace's HTTP edge: `from shared.client import Headrace`.

`headrace.py` is the way in; a module a noun (`sessions`, `tasks`, `results`, `datasets`, `retrievals`); `http` sends requests,
`events` follows streams, `uploads` and `downloads` move bytes, `errors` is what can go wrong. `cli/` is the `headrace` command.
Nothing here knows a service.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from shared.client.address import Address
    from shared.client.headrace import Headrace
    from shared.client.http import Patience

__all__ = ["Address", "Headrace", "Patience", "__version__"]

_HOMES = {"Address": "address", "Headrace": "headrace", "Patience": "http"}


def __getattr__(name: str) -> Any:
    """Loads the client when it is asked for: `headrace --help` needs no HTTP."""
    if name not in _HOMES:
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module(f"shared.client.{_HOMES[name]}"), name)
