"""The gateway's settings: HEADRACE_<FIELD>; those of object storage are in shared/objects/settings.py."""

from typing import Annotated

import msgspec

from shared.service.bootstrap import ServiceSettings


class Settings(ServiceSettings, frozen=True, kw_only=True):
    """`admin_token_file`: a file with the bearer token of the user `admin`; empty: none is registered.

    `http_requests_per_second`: of one user; twice as many at once. Beyond that: 429, and when to come back. `http_failures_per_second`: requests without
    a valid token of one address; ten times as many at once.

    `tls_certificate_file`, `tls_key_file`: PEM files; with both, the port speaks HTTPS only.
    """

    http_host: str = "127.0.0.1"
    http_port: int = 8080
    http_requests_per_second: Annotated[int, msgspec.Meta(ge=1)] = 500
    http_failures_per_second: Annotated[int, msgspec.Meta(ge=1)] = 10
    tls_certificate_file: str = ""
    tls_key_file: str = ""
    admin_token_file: str = ""
