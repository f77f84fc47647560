"""What changes who may do what: said at once to every gateway, which then believes nothing from memory."""

from nats.aio.msg import Msg

from services.gateway.identity.auth import Auth
from shared.bus.client import Bus
from shared.contracts import subjects
from shared.contracts.errors import HeadraceError
from shared.contracts.identity import UserChanged
from shared.runtime.log import log

CHANGED = subjects.event("user", "changed", "*")


class Changes:
    """Publishes changes of users, groups and tokens, and takes those of other gateways."""

    def __init__(self, bus: Bus, auth: Auth) -> None:
        self._bus, self._auth = bus, auth

    async def listen(self) -> None:
        """Subscribes to the changes that other gateways have made."""
        await self._bus.nc.subscribe(CHANGED, cb=self._on_change)

    async def publish(self, user: str) -> None:
        """To be called when a change of `user`, or of a token of theirs, is stored. Without the bus others notice within seconds."""
        self._auth.forget()
        try:
            await self._bus.publish(subjects.event("user", "changed", user or "all"), UserChanged(user))
        except HeadraceError as error:
            log.warning("identity.change_not_published", user=user, error=repr(error))

    async def _on_change(self, message: Msg) -> None:
        self._auth.forget()
