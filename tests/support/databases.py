"""An empty database of a test's own."""

import msgspec

from tests.support.servers import Servers


class Database(msgspec.Struct, frozen=True):
    """An empty database with the five schemas."""

    servers: Servers
    name: str

    def url(self, service: str) -> str:
        """As the service's own role."""
        return self.servers.service_url(service, self.name)

    @property
    def admin_url(self) -> str:
        return self.servers.admin_url(self.name)
