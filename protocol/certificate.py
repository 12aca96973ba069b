"""The link certificate: a pin in X.509 dress. Spec: spec/identity.md, 5.

A pinned certificate that could sign others would vouch for strangers, and two with equal subjects and no key
identifiers are confused by OpenSSL; so the profile is fixed to the byte and checked when a statement is taken in.
"""

from __future__ import annotations

import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from cryptography.x509.oid import NameOID

from protocol.crypto import SigningSecret, VerifyKey, sha256
from protocol.errors import Reason, RemoteProtocolError

__all__ = ["MAX_CERTIFICATE_BYTES", "build_certificate", "check_certificate", "private_key_pem"]

MAX_CERTIFICATE_BYTES: Final = 1024
_SIGNATURE_BYTES: Final = 64
# Where the only certificate that this profile allows for a key has that key, and what its signature covers.
_CERTIFICATE_BYTES: Final = 363
_KEY: Final = slice(159, 191)
_SIGNED: Final = slice(4, 289)
_FROM: Final = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
_UNTIL: Final = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)


def _sign(key: bytes, signer: Ed25519PrivateKey) -> bytes:
    """The certificate of `key`, DER. By another key than its own only the signature, the last 64 bytes, differs."""
    public = Ed25519PublicKey.from_public_bytes(key)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, sha256(key).hex()[:32])])
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
    return builder.sign(signer, algorithm=None).public_bytes(Encoding.DER)


def build_certificate(secret: SigningSecret) -> bytes:
    """The self-signed certificate of a link key, DER; the same bytes each time."""
    return _sign(secret.verify_key, Ed25519PrivateKey.from_private_bytes(secret.reveal()))


# Signs what is only compared up to its signature: no secret.
_ANYBODY: Final = Ed25519PrivateKey.from_private_bytes(bytes(32))


def check_certificate(der: bytes) -> VerifyKey:
    """The link key of a certificate that is, byte for byte, the one which the profile allows for this key.

    Compared, not parsed: no X.509 reader meets bytes from outside, and there is no second form to overlook.
    RemoteProtocolError: bad_certificate, bad_key (of the right form, but no valid point).
    """
    if len(der) != _CERTIFICATE_BYTES:
        raise RemoteProtocolError(Reason.BAD_CERTIFICATE, f"certificate of {len(der)} bytes")
    key, signature = der[_KEY], der[-_SIGNATURE_BYTES:]
    if der[:-_SIGNATURE_BYTES] != _sign(key, _ANYBODY)[:-_SIGNATURE_BYTES]:
        raise RemoteProtocolError(Reason.BAD_CERTIFICATE, "not a link certificate of the profile")
    checked = VerifyKey.checked(key)
    try:
        checked.verify_raw(der[_SIGNED], signature)
    except RemoteProtocolError as error:
        raise RemoteProtocolError(Reason.BAD_CERTIFICATE, "not signed by its own key") from error
    return checked


def private_key_pem(secret: SigningSecret, passphrase: bytes) -> bytes:
    """The link secret as PKCS#8 PEM sealed under a passphrase, the only form that TLS libraries load."""
    private = Ed25519PrivateKey.from_private_bytes(secret.reveal())
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase))
