"""The gateway: the HTTP edge. It holds no compute state: every route is a typed request to the service that does.

`route` makes a row of data into an address, `call` is one request, `problem` what goes wrong with it; `routes/` has the rows.
`submissions` and `values` stream, `feed` and `sse` tell what happens, `auth` and `store` know who may do what. The `headrace` command
(`shared/client/cli`) is a client of all this like any other.
"""

__version__ = "0.1.0"
