"""The types of an ASGI 3 application, as far as the edge uses them. Source: the ASGI specification, "HTTP & WebSocket"."""

from collections.abc import Awaitable, Callable
from typing import Any

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Response = Callable[[Scope, Receive, Send], Awaitable[None]]
"""What a handler returns: it sends the status line, the headers and the body. An application has the same shape."""
