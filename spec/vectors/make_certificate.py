"""Writes certificate.json: link certificates of the profile, and others that differ from it in one thing."""

from __future__ import annotations

import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from protocol.certificate import build_certificate
from protocol.crypto import sha256
from spec.vectors.common import write
from spec.vectors.sample_node import signing_secret_of

SPEC = "identity.md, 5"
SECRET = signing_secret_of("link")
PRIVATE = Ed25519PrivateKey.from_private_bytes(SECRET.reveal())
GOOD = build_certificate(SECRET)


def _case(name: str, comment: str, der: bytes, expect: str, **out: Any) -> dict[str, Any]:
    given = {"certificate": der.hex()}
    return {"name": name, "spec": SPEC, "comment": comment, "input": given, "expect": expect, **out}


def _good(name: str, comment: str, word: str) -> dict[str, Any]:
    secret = signing_secret_of(word)
    out = {"seed": secret.reveal().hex(), "key": secret.verify_key.hex()}
    return _case(name, comment, build_certificate(secret), "ok", **out)


def _other(name: str, comment: str, expect: str = "bad_certificate", **changes: Any) -> dict[str, Any]:
    return _case(name, comment, _build(**changes), expect)


def _changed(name: str, comment: str, old: str, new: str) -> dict[str, Any]:
    """The good certificate with some bytes changed; its signature is left as it was."""
    at = GOOD.index(bytes.fromhex(old))
    return _case(name, comment, GOOD[:at] + bytes.fromhex(new) + GOOD[at + len(new) // 2 :], "bad_certificate")


def _name(text: str, kind: _ASN1Type = _ASN1Type.UTF8String) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text, _type=kind)])


def _day(year: int) -> datetime.datetime:
    return datetime.datetime(year, 1, 1, tzinfo=datetime.UTC)


def _usage(**more: bool) -> x509.KeyUsage:
    names = "content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign"
    flags = dict.fromkeys([*names.split(), "encipher_only", "decipher_only"], False)
    return x509.KeyUsage(**{"digital_signature": True, **flags, **more})


_EXTENSIONS: dict[str, tuple[x509.ExtensionType, bool]] = {
    "constraints": (x509.BasicConstraints(ca=False, path_length=None), True),
    "usage": (_usage(), True),
    "subject_id": (x509.SubjectKeyIdentifier.from_public_key(PRIVATE.public_key()), False),
    "issuer_id": (x509.AuthorityKeyIdentifier.from_issuer_public_key(PRIVATE.public_key()), False),
}


def _build(
    *,
    key: Ed25519PublicKey | X25519PublicKey | None = None,
    signer: Ed25519PrivateKey = PRIVATE,
    subject: x509.Name | None = None,
    issuer: x509.Name | None = None,
    serial: int = 1,
    start: datetime.datetime | None = None,
    end: datetime.datetime | None = None,
    extensions: dict[str, tuple[x509.ExtensionType, bool] | None] | None = None,
    order: tuple[str, ...] | None = None,
) -> bytes:
    key = key or PRIVATE.public_key()
    own = _name(sha256(key.public_bytes_raw()).hex()[:32])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject or own)
        .issuer_name(issuer or own)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(start or _day(2020))
        .not_valid_after(end or datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC))
    )
    wanted = {**_EXTENSIONS, **(extensions or {})}
    for name in order or tuple(wanted):
        item = wanted[name]
        if item is not None:
            builder = builder.add_extension(item[0], critical=item[1])
    return builder.sign(signer, algorithm=None).public_bytes(Encoding.DER)


def _of_key(key: Ed25519PublicKey) -> bytes:
    """All by the profile for this key, but signed by another, for keys that have no secret."""
    subject_id = x509.SubjectKeyIdentifier.from_public_key(key)
    issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(key)
    return _build(key=key, extensions={"subject_id": (subject_id, False), "issuer_id": (issuer_id, False)})


def _authority_cases() -> list[dict[str, Any]]:
    ca, cert_sign = x509.BasicConstraints(ca=True, path_length=None), _usage(key_cert_sign=True)
    server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    host = x509.SubjectAlternativeName([x509.DNSName("node.example")])
    return [
        _other("authority", "CA:TRUE: TLS would accept whatever it issued", extensions={"constraints": (ca, True)}),
        _other("no_constraints", "no basicConstraints", extensions={"constraints": None}),
        _other(
            "constraints_not_critical",
            "basicConstraints not critical",
            extensions={"constraints": (x509.BasicConstraints(ca=False, path_length=None), False)},
        ),
        _other("may_sign", "keyCertSign", extensions={"usage": (cert_sign, True)}),
        _other("no_usage", "no keyUsage", extensions={"usage": None}),
        _other("usage_not_critical", "keyUsage not critical", extensions={"usage": (_usage(), False)}),
        _other("no_subject_id", "no subjectKeyIdentifier", extensions={"subject_id": None}),
        _other("no_issuer_id", "no authorityKeyIdentifier", extensions={"issuer_id": None}),
        _other(
            "other_subject_id",
            "the key identifier of another key",
            extensions={"subject_id": (x509.SubjectKeyIdentifier(bytes(20)), False)},
        ),
        _other("one_role_only", "extendedKeyUsage", extensions={"role": (server, False)}),
        _other("host_name", "subjectAltName: host names identify nobody", extensions={"host": (host, False)}),
        _other(
            "extension_order",
            "the same extensions in another order",
            order=("usage", "constraints", "subject_id", "issuer_id"),
        ),
    ]


def cases() -> list[dict[str, Any]]:
    """All cases of this topic."""
    small_order = Ed25519PublicKey.from_public_bytes(b"\1" + bytes(31))
    off_curve = Ed25519PublicKey.from_public_bytes(b"\2" + bytes(31))
    stranger = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    fingerprint = sha256(SECRET.verify_key).hex()
    assert _build() == GOOD
    return [
        _good("good", "as the profile says", "link"),
        _good("another", "another key", "another link"),
        *_authority_cases(),
        _other("other_subject", "a subject that is not the key's", subject=_name("node.example"), issuer=None),
        _other("other_issuer", "issuer and subject differ", issuer=_name("authority")),
        _other("long_name", "the whole fingerprint", subject=_name(fingerprint), issuer=_name(fingerprint)),
        _other(
            "printable_name",
            "the name as PrintableString: equal to most readers, not the same bytes",
            subject=_name(fingerprint[:32], _ASN1Type.PrintableString),
            issuer=_name(fingerprint[:32], _ASN1Type.PrintableString),
        ),
        _other("serial_2", "serial number 2", serial=2),
        _other("later_start", "valid from another day", start=_day(2021)),
        _other("earlier_end", "valid to another day", end=_day(2030)),
        _other("other_signer", "signed by another key", signer=stranger),
        _case("off_curve_key", "no point", _of_key(off_curve), "bad_key"),
        _case("small_order_key", "the neutral point", _of_key(small_order), "bad_key"),
        _case(
            "x25519_key",
            "another kind of key",
            _build(key=X25519PublicKey.from_public_bytes(SECRET.verify_key)),
            "bad_certificate",
        ),
        _changed("version_1", "version 2 (0x01) where 3 is written", "a003020102", "a003020101"),
        _changed("boolean_1", "TRUE as 0x01: a form that DER has not", "0101ff0402", "0101010402"),
        _case("signature_bit", "one bit of the signature", GOOD[:-1] + bytes([GOOD[-1] ^ 1]), "bad_certificate"),
        _case("cut", "without its last byte", GOOD[:-1], "bad_certificate"),
        _case("more", "a byte after the end", GOOD + b"\0", "bad_certificate"),
        _case("empty", "no bytes", b"", "bad_certificate"),
    ]


if __name__ == "__main__":
    write("certificate", SPEC, cases())
