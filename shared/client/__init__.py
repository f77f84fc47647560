"""The client side of Headrace's HTTP edge. `cli/` is the `headrace` command; nothing here knows a service."""

__version__ = "0.1.0"
