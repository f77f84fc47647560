"""Asking for a user, as the gateway does."""

from functools import lru_cache
from pathlib import Path

from deploy import keys
from shared.bus.delegations import Delegations
from shared.contracts import headers as h
from shared.service.context import assumed_roles


@lru_cache
def signer(folder: str, issuer: str = "gateway") -> Delegations:
    """An issuer's own delegations. `folder`: where the keys are."""
    keys.make(Path(folder), [issuer])
    return Delegations.load(str(keys.private_file(Path(folder), issuer)), str(Path(folder) / keys.PUBLIC))


def speaking(folder: str, user: str, subject: str, *, issuer: str = "gateway") -> dict[str, str]:
    """The headers of a request on `subject` for `user`, with the roles that the name lets assume."""
    return {h.DELEGATION: signer(folder, issuer).header((user, assumed_roles(user), (), None), subject)}
