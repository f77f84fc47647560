"""What SeaweedFS asks of whoever comes to the ports behind its S3 port: a certificate for gRPC, a signed token for HTTP.

Its parts are one process and talk to each other over loopback ports, which by default ask for nothing: any user of this
machine, and any command that a worker runs, could read, write and delete every object there. Nobody but the server itself
uses these keys, so they are made anew at each start and never shown. ADR 28.
"""

import datetime
import json
import secrets
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deploy.local.home import write_private

SIGNED = ("jwt.signing", "jwt.signing.read", "jwt.filer_signing", "jwt.filer_signing.read")
"""Sections of its configuration with the key of an HTTP token each."""
GRPC = ("master", "volume", "filer", "s3", "admin", "worker", "msg_broker", "msg_agent", "mq", "client")
"""Parts with a gRPC server, or a client of one."""
VALID = datetime.timedelta(days=3650)
"""How long a certificate is valid, counted from the day before, for a clock that is set back."""
_PEM = serialization.Encoding.PEM


def write_security(folder: Path) -> None:
    """Writes `security.toml` and the certificates that it names into a folder, all with mode 0600, with keys made now."""
    authority, certificate, key = _certificates()
    files = {name: folder / f"grpc-{name}.pem" for name in ("ca", "cert", "key")}
    for name, data in (("ca", authority), ("cert", certificate), ("key", key)):
        write_private(files[name], data.decode())
    lines = ["[access]", "ui = false"]
    for section in SIGNED:
        lines += [f"[{section}]", f'key = "{secrets.token_hex(32)}"', "expires_after_seconds = 10"]
    lines += ["[grpc]", f"ca = {json.dumps(str(files['ca']))}"]
    for part in GRPC:
        lines += [f"[grpc.{part}]", *(f"{name} = {json.dumps(str(files[name]))}" for name in ("cert", "key"))]
    write_private(folder / "security.toml", "\n".join(lines) + "\n")


def _certificates() -> tuple[bytes, bytes, bytes]:
    """An authority's certificate, one that it has signed, and the key of the latter, as PEM. The authority's key is not kept."""
    signer, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = _certificate("headrace-s3-ca", signer.public_key())
    authority = authority.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    certificate = _certificate("headrace-s3", key.public_key())
    return (
        authority.sign(signer, hashes.SHA256()).public_bytes(_PEM),
        certificate.sign(signer, hashes.SHA256()).public_bytes(_PEM),
        key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


def _certificate(subject: str, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    """All of a certificate but its extensions and its signature, which is the authority's."""
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name("headrace-s3-ca"))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + VALID)
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
