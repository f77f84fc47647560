"""The gateway: the HTTP edge. It holds no compute state: every route is a typed request to the service that does.

`http/` is the layer below all routes; `identity/` knows who may do what; then a package a domain, each with its `routes`.
The `headrace` command (`shared/client/cli`) is a client of all this like any other.
"""

__version__ = "0.1.0"
