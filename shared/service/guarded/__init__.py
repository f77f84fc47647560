"""Requests to URLs that users give, such as callbacks: only to hosts, ports and addresses that the operator allows.

- `allowed`   which URLs and which addresses are allowed: decisions without I/O
- `client`    the one client for such URLs: each hop checked, the checked address connected to, time and size bounded

Whoever can make a service send a request could otherwise reach what only the service reaches: other services on this machine or
network, the metadata service of a cloud. ADR 38.
"""

from shared.service.guarded.allowed import Allowed, parse_allowed
from shared.service.guarded.client import GuardedClient, Limits, Reply

__all__ = ["Allowed", "GuardedClient", "Limits", "Reply", "parse_allowed"]
