"""What wraps every handler, one concern a file: handler → handler."""

from collections.abc import Sequence

from shared.service.context import Handler, Middleware


def wrap(handler: Handler, layers: Sequence[Middleware]) -> Handler:
    """The handler inside of all layers; the first layer is the outermost."""
    for layer in reversed(layers):
        handler = layer(handler)
    return handler
