"""The link certificate: a pin in X.509 dress. Spec: spec/identity.md, 5.

A pinned certificate that could sign others would vouch for strangers, and two with equal subjects and no key
identifiers are confused by OpenSSL; so the profile is fixed to the byte and checked when a statement is taken in.
"""

from __future__ import annotations

import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from cryptography.x509.oid import NameOID

from protocol.crypto import SigningSecret, VerifyKey, sha256
from protocol.errors import Reason, RemoteProtocolError

__all__ = ["MAX_CERTIFICATE_BYTES", "build_certificate", "check_certificate", "private_key_pem"]

MAX_CERTIFICATE_BYTES: Final = 1024
_FROM: Final = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
_UNTIL: Final = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)


def build_certificate(secret: SigningSecret) -> bytes:
    """The self-signed certificate of a link key, DER; the same bytes each time."""
    private = Ed25519PrivateKey.from_private_bytes(secret.reveal())
    public = private.public_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, sha256(secret.verify_key).hex()[:32])])
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(1)
        .not_valid_before(_FROM)
        .not_valid_after(_UNTIL)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
    )
    return builder.sign(private, algorithm=None).public_bytes(Encoding.DER)


def _tbs_for(key: VerifyKey, certificate: x509.Certificate) -> bool:
    """Whether every field is what build_certificate writes for this key."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, sha256(key).hex()[:32])])
    public = Ed25519PublicKey.from_public_bytes(key)
    extensions = {item.oid: item for item in certificate.extensions}
    wanted = {
        x509.BasicConstraints.oid: (x509.BasicConstraints(ca=False, path_length=None), True),
        x509.SubjectKeyIdentifier.oid: (x509.SubjectKeyIdentifier.from_public_key(public), False),
        x509.AuthorityKeyIdentifier.oid: (x509.AuthorityKeyIdentifier.from_issuer_public_key(public), False),
        x509.KeyUsage.oid: (x509.KeyUsage(True, *[False] * 8), True),
    }
    return (
        certificate.subject == name
        and certificate.issuer == name
        and certificate.serial_number == 1
        and certificate.not_valid_before_utc == _FROM
        and certificate.not_valid_after_utc == _UNTIL
        and extensions.keys() == wanted.keys()
        and all((extensions[oid].value, extensions[oid].critical) == value for oid, value in wanted.items())
    )


# All that the library raises for bytes which are no certificate that it understands: not all are ValueErrors.
_UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


def check_certificate(der: bytes) -> VerifyKey:
    """The link key of a certificate that keeps the profile; RemoteProtocolError(bad_certificate, bad_key)."""
    bad = RemoteProtocolError(Reason.BAD_CERTIFICATE, "not a link certificate of the profile")
    if len(der) > MAX_CERTIFICATE_BYTES:
        raise RemoteProtocolError(Reason.BAD_CERTIFICATE, f"certificate of {len(der)} bytes")
    try:
        certificate = x509.load_der_x509_certificate(der)
        public = certificate.public_key()
        if not isinstance(public, Ed25519PublicKey):
            raise bad
        key = VerifyKey.checked(public.public_bytes_raw())
        if not _tbs_for(key, certificate):
            raise bad
        key.verify_raw(certificate.tbs_certificate_bytes, certificate.signature)
        if certificate.public_bytes(Encoding.DER) != der:
            raise bad
    except _UNREADABLE as error:
        raise bad from error
    except RemoteProtocolError as error:
        if error.reason is Reason.BAD_SIGNATURE:
            raise bad from error
        raise
    return key


def private_key_pem(secret: SigningSecret, passphrase: bytes) -> bytes:
    """The link secret as PKCS#8 PEM sealed under a passphrase, the only form that TLS libraries load."""
    private = Ed25519PrivateKey.from_private_bytes(secret.reveal())
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase))
