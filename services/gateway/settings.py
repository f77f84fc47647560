"""The gateway's settings: HEADRACE_<FIELD>; those of object storage are in shared/objects/settings.py."""

from shared.service.bootstrap import ServiceSettings


class Settings(ServiceSettings, frozen=True, kw_only=True):
    """`admin_token_file`: a file with the bearer token of the user `admin`; empty: none is registered.

    `tls_certificate_file`, `tls_key_file`: PEM files; with both, the port speaks HTTPS only.
    """

    http_host: str = "127.0.0.1"
    http_port: int = 8080
    tls_certificate_file: str = ""
    tls_key_file: str = ""
    admin_token_file: str = ""
