"""The keys with which services sign delegations: a private file for each issuer, one file with the public keys of all.

    {"issuer": "archiver", "private": "<32 bytes in base64url>"}                   archiver.key, mode 0600
    {"archiver": ["<32 bytes in base64url>", …], "broker.site-a": […], …}          issuers.json

An issuer may have several public keys: the new one and the one before it, while a key is being changed. `python -m deploy.keys`
makes both files.
"""

import os
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from shared.bus.delegations import decode, encode
from shared.runtime.log import log
from shared.runtime.startup import StartFailed


class PrivateKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file of one issuer's private key. `private`: 32 bytes in base64url without padding."""

    issuer: str
    private: str


def generate(issuer: str) -> tuple[PrivateKey, str]:
    """A new key pair: the private key's file, and the public key in base64url."""
    made = Ed25519PrivateKey.generate()
    return PrivateKey(issuer, encode(made.private_bytes_raw())), encode(made.public_key().public_bytes_raw())


def read_private(file: Path) -> tuple[str, Ed25519PrivateKey]:
    """Issuer and private key. StartFailed if the file cannot be used, or if others than its owner can read it."""
    try:
        if file.stat().st_mode & 0o077:
            raise StartFailed(f"{file} can be read by others: chmod 600 it")
        found = msgspec.json.decode(file.read_bytes(), type=PrivateKey)
        return found.issuer, Ed25519PrivateKey.from_private_bytes(decode(found.private))
    except OSError as error:
        raise StartFailed(f"{file}: {error.strerror}") from error
    except ValueError as error:  # msgspec's too
        raise StartFailed(f"{file} is not the file of a private key: {error}") from error


class PublicKeys:
    """The public keys of all issuers, read again when their file has changed."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen = (0, 0, 0)
        self._keys: dict[str, list[Ed25519PublicKey]] = {}
        try:
            self._read()
        except (OSError, ValueError) as error:
            raise StartFailed(f"{file} cannot be used as the file of public keys: {error}") from error

    def _read(self) -> bool:
        """Reads the file if it has changed; whether it has."""
        found = os.stat(self._file)
        seen = (found.st_mtime_ns, found.st_size, found.st_ino)
        if seen == self._seen:
            return False
        texts = msgspec.json.decode(self._file.read_bytes(), type=dict[str, list[str]])
        self._keys = {
            issuer: [Ed25519PublicKey.from_public_bytes(decode(text)) for text in several]
            for issuer, several in texts.items()
        }
        self._seen = seen
        return True

    def refresh(self) -> bool:
        """Whether the keys are others now than before. A file that cannot be used changes nothing, and is logged."""
        try:
            return self._read()
        except (OSError, ValueError) as error:
            log.error("issuers.not_read", file=str(self._file), error=repr(error))
            return False

    def is_signed(self, issuer: str, payload: bytes, signature: bytes) -> bool:
        """Whether one of the issuer's keys has signed it."""
        return any(_verifies(key, signature, payload) for key in self._keys.get(issuer, ()))


def _verifies(key: Ed25519PublicKey, signature: bytes, payload: bytes) -> bool:
    try:
        key.verify(signature, payload)
    except InvalidSignature:
        return False
    return True
