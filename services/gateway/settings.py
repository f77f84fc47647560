"""The gateway's settings, from the environment; those of object storage are shared/objects/settings.py."""

from shared.bus.client import BusSettings


class Settings(BusSettings, frozen=True, kw_only=True):
    """`admin_token_file`: a file with the bearer token of the user `admin`; empty: none is registered."""

    database_url: str
    http_host: str = "127.0.0.1"
    http_port: int = 8080
    admin_token_file: str = ""
    log_level: str = "info"
    log_format: str = "json"
