"""Signs for whom this process asks, and checks for whom others do: `shared/contracts/delegation.py` in a header.

Both are kept in memory, so that a request costs a look-up: what was signed, until half of its time is over; what was checked,
by the header's text, until it ends. Bad ones are not kept.
"""

import base64
import binascii
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

import msgspec

from shared.contracts.asks import FOR_ITSELF, FOR_USERS
from shared.contracts.delegation import VALID, Delegation, site_of, unlawful
from shared.contracts.errors import Internal, Unauthenticated

MOST_KEPT: Final = 10_000
"""Delegations kept in memory at most, signed and checked each."""
LONGEST: Final = 16 * 1024
"""Characters of a header that is looked at."""

Who = tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...] | None]
"""User, roles, groups, scope: as in a Delegation."""
NOBODY: Final[Who] = ("", (), (), None)
"""The process asks for itself."""


class Keys(Protocol):
    """The public keys of all issuers (`shared/bus/signing_keys.py`)."""

    def is_signed(self, issuer: str, payload: bytes, signature: bytes) -> bool:
        """Whether one of the issuer's keys has signed it."""
        ...

    def refresh(self) -> bool:
        """Whether the keys are others now than before."""
        ...


class Delegations:
    """`issuer`: as whom this process signs, by `signature`; without: it cannot. `keys` None: nothing is believed.

    `now`: seconds since 1970.
    """

    def __init__(
        self,
        issuer: str = "",
        signature: Callable[[bytes], bytes] | None = None,
        keys: Keys | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.issuer, self._signature, self._keys, self._now = issuer, signature, keys, now
        self._signed: dict[tuple[Who, str], tuple[float, str]] = {}
        self._checked: dict[str, Delegation] = {}

    @classmethod
    def load(cls, private: str, public: str) -> "Delegations":
        """From the files of one private key and of all public keys, either of them optional. StartFailed for bad files."""
        if not private and not public:
            return cls()
        # Workers have neither, and do without the library and its megabytes.
        from shared.bus.signing_keys import PublicKeys, read_private

        issuer, key = read_private(Path(private)) if private else ("", None)
        return cls(issuer, key.sign if key else None, PublicKeys(Path(public)) if public else None)

    # -- signing

    def header(self, who: Who, operation: str) -> str:
        """The header with which this process asks `operation` (a subject) for `who`."""
        key, now = (who, operation), self._now()
        kept = self._signed.get(key)
        if kept is not None and now < kept[0]:
            return kept[1]
        user, roles, groups, scope = who
        site = site_of(self.issuer)
        made = self.sign(Delegation(self.issuer, user, (operation,), int(now) + VALID, roles, groups, scope, site))
        if len(self._signed) >= MOST_KEPT:
            self._signed.clear()
        self._signed[key] = (now + VALID / 2, made)
        return made

    def sign(self, one: Delegation) -> str:
        """Any delegation, as a header. Internal without a private key."""
        if self._signature is None:
            raise Internal("this process has no key to sign with (HEADRACE_DELEGATION_KEY_FILE)")
        payload = msgspec.json.encode(one)
        return f"{encode(payload)}.{encode(self._signature(payload))}"

    # -- checking

    def check(self, header: str, operation: str) -> Delegation:
        """What the header says. Unauthenticated, with the reason, if it is no good for `operation` (a subject) now."""
        found = self.read(header)
        if operation not in found.operations:
            raise _refused(f"the delegation is not for {operation}")
        return found

    def read(self, header: str) -> Delegation:
        """What the header says, whatever it is for. Unauthenticated, with the reason, if it is no good now."""
        found = self._checked.get(header)
        if found is None:
            found = self._verified(header)
            if len(self._checked) >= MOST_KEPT:
                self._checked.clear()
            self._checked[header] = found
        if found.expires <= self._now():
            self._checked.pop(header, None)
            raise _refused("the delegation has expired")
        return found

    def _verified(self, header: str) -> Delegation:
        if self._keys is None:
            raise _refused("this process has no public keys (HEADRACE_ISSUERS_FILE), so that it believes nobody")
        try:
            payload, signature = (decode(part) for part in header[: LONGEST + 1].split("."))
            found = msgspec.json.decode(payload, type=Delegation)
        except ValueError:  # msgspec's too
            raise _refused("the delegation is malformed") from None
        if self._keys.refresh():  # a key is new, or retired: what it has signed is no good any more
            self._checked.clear()
        if not self._keys.is_signed(found.by, payload, signature):
            raise _refused(f"the delegation is not signed by {found.by!r}")
        if why := unlawful(found, self._now(), FOR_USERS, FOR_ITSELF):
            raise _refused(why)
        return found


def _refused(why: str) -> Unauthenticated:
    return Unauthenticated(why, field="Hr-Delegation")


def encode(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """The bytes of base64url without padding. ValueError for everything else, another spelling of the same bytes too."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
    if encode(data) != text:
        raise ValueError("not the shortest form")
    return data
