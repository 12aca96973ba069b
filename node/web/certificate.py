"""The certificate of the web server: the operator's, or one that the node makes for itself."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from node.errors import ConfigError
from node.folder import write_private

__all__ = ["VALID_DAYS", "certificate_end", "certificate_fingerprint", "make_web_certificate"]

VALID_DAYS: Final = 397
"""Browsers refuse longer ones."""


def make_web_certificate(certificate_file: Path, key_file: Path, names: Sequence[str], *, now_ms: int) -> None:
    """Write a self-signed certificate for these host names and addresses, and its key (mode 0600)."""
    key = ec.generate_private_key(ec.SECP256R1())  # what every browser takes
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    begin = datetime.datetime.fromtimestamp(now_ms / 1000, datetime.UTC) - datetime.timedelta(hours=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName([_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    try:
        certificate_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(key_file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        write_private(certificate_file, certificate.public_bytes(Encoding.PEM))
    except OSError as error:
        raise ConfigError(f"{certificate_file} cannot be written: {error.strerror}") from error


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _load(certificate_file: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(certificate_file.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"{certificate_file} cannot be read: {error.strerror}", hint="make one with: coffre web cert"
        ) from error
    except ValueError as error:
        raise ConfigError(f"{certificate_file} is no certificate in PEM form") from error


def certificate_fingerprint(certificate_file: Path) -> str:
    """SHA-256 of the certificate's DER form, hex. ConfigError."""
    return _load(certificate_file).fingerprint(hashes.SHA256()).hex()


def certificate_end(certificate_file: Path) -> int:
    """When the certificate ends, milliseconds UTC. ConfigError."""
    return int(_load(certificate_file).not_valid_after_utc.timestamp() * 1000)
