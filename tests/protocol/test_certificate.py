"""Link certificates: one form for a key, and what TLS makes of it as a pin."""

from __future__ import annotations

import datetime
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from protocol.certificate import MAX_CERTIFICATE_BYTES, build_certificate, check_certificate, private_key_pem
from protocol.crypto import SigningSecret, sha256
from protocol.errors import Reason, RemoteProtocolError
from spec.vectors.sample_node import signing_secret_of

SECRET: Final = signing_secret_of("link")
DER: Final = build_certificate(SECRET)


def refusal(der: bytes) -> Reason:
    with pytest.raises(RemoteProtocolError) as caught:
        check_certificate(der)
    return caught.value.reason


# -- the profile


def test_a_certificate_is_the_same_each_time_and_gives_its_key() -> None:
    assert build_certificate(SECRET) == DER
    assert check_certificate(DER) == SECRET.verify_key
    assert len(DER) == 363 <= MAX_CERTIFICATE_BYTES


def test_another_reader_finds_the_profile_in_it() -> None:
    certificate = x509.load_der_x509_certificate(DER)
    certificate.verify_directly_issued_by(certificate)
    assert certificate.subject.rfc4514_string() == f"CN={sha256(SECRET.verify_key).hex()[:32]}"
    assert certificate.serial_number == 1
    assert certificate.not_valid_before_utc.isoformat() == "2020-01-01T00:00:00+00:00"
    assert certificate.not_valid_after_utc.isoformat() == "9999-12-31T23:59:59+00:00"
    found = {type(item.value).__name__: item.critical for item in certificate.extensions}
    assert found == {
        "BasicConstraints": True,
        "KeyUsage": True,
        "SubjectKeyIdentifier": False,
        "AuthorityKeyIdentifier": False,
    }
    extensions = certificate.extensions
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
    assert not extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    subject_id = extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == subject_id


@given(at=st.integers(0, len(DER) * 8 - 1))
def test_another_bit_is_another_certificate(at: int) -> None:
    changed = bytearray(DER)
    changed[at // 8] ^= 1 << at % 8
    assert refusal(bytes(changed)) is Reason.BAD_CERTIFICATE


@given(der=st.binary(max_size=600) | st.binary(min_size=len(DER), max_size=len(DER)))
def test_other_bytes_are_no_certificate(der: bytes) -> None:
    assert refusal(der) is Reason.BAD_CERTIFICATE


@pytest.mark.parametrize("der", [b"", DER[:-1], DER + b"\0", DER * 2], ids=["empty", "cut", "more", "twice"])
def test_another_length_is_no_certificate(der: bytes) -> None:
    assert refusal(der) is Reason.BAD_CERTIFICATE


# -- as a pin of TLS


def authority() -> tuple[Ed25519PrivateKey, x509.Certificate]:
    """A certificate that may sign others, as the profile forbids."""
    key = Ed25519PrivateKey.from_private_bytes(signing_secret_of("authority").reveal())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
    return key, _certificate(key, key, name, name, ca=True)


def _certificate(
    key: Ed25519PrivateKey, signer: Ed25519PrivateKey, subject: x509.Name, issuer: x509.Name, *, ca: bool
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
        .not_valid_after(datetime.datetime(9999, 12, 31, tzinfo=datetime.UTC))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    return builder.sign(signer, algorithm=None)


@pytest.fixture
def context(tmp_path: Path) -> Callable[..., ssl.SSLContext]:
    """Makes one end's TLS settings, as spec/wire.md, 2 gives them."""

    def make(secret: SigningSecret, pins: list[bytes], *, server: bool, strict: bool = False) -> ssl.SSLContext:
        pem = private_key_pem(secret, b"passphrase") + ssl.DER_cert_to_PEM_cert(build_certificate(secret)).encode()
        return _context(tmp_path, pem, pins, server=server, strict=strict)

    return make


def _context(folder: Path, pem: bytes, pins: list[bytes], *, server: bool, strict: bool = False) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.check_hostname = False
    made.verify_mode = ssl.CERT_REQUIRED
    made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if strict:
        made.verify_flags |= ssl.VERIFY_X509_STRICT
    path = folder / "own.pem"
    path.write_bytes(pem)
    made.load_cert_chain(path, password=b"passphrase")
    if pins:
        made.load_verify_locations(cadata="".join(ssl.DER_cert_to_PEM_cert(pin) for pin in pins))
    return made


class _End:
    """One end of a TLS connection, its bytes in memory."""

    def __init__(self, context: ssl.SSLContext, *, server: bool) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=server)

    def step(self) -> bool:
        """Go on with the handshake; whether it is done. ssl.SSLError where it fails."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True


def handshake(dialler: ssl.SSLContext, acceptor: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Run a handshake to its end on both sides. ssl.SSLError if one of them refuses the other."""
    client, server = _End(dialler, server=False), _End(acceptor, server=True)
    done = [False, False]
    for _ in range(6):
        for index, (end, other) in enumerate(((client, server), (server, client))):
            done[index] = done[index] or end.step()
            other.incoming.write(end.outgoing.read())
    assert all(done)
    return client.tls, server.tls


ANNA, BERT, STRANGER = (signing_secret_of(name) for name in ("anna", "bert", "stranger"))
MANY = [build_certificate(signing_secret_of(f"peer {number}")) for number in range(20)]


@pytest.mark.parametrize("strict", [False, True])
def test_two_nodes_that_pinned_each_other_meet(context: Callable[..., ssl.SSLContext], strict: bool) -> None:
    dialler = context(ANNA, [*MANY, build_certificate(BERT)], server=False, strict=strict)
    acceptor = context(BERT, [build_certificate(ANNA), *MANY], server=True, strict=strict)
    client, server = handshake(dialler, acceptor)
    assert client.version() == server.version() == "TLSv1.3"
    assert client.getpeercert(binary_form=True) == build_certificate(BERT)
    assert server.getpeercert(binary_form=True) == build_certificate(ANNA)


def test_a_node_meets_itself(context: Callable[..., ssl.SSLContext]) -> None:
    """Issuer, subject and key the same as the pin's: found as the pin, not taken for a loop."""
    own = [build_certificate(ANNA)]
    client, _ = handshake(context(ANNA, own, server=False), context(ANNA, own, server=True))
    assert client.getpeercert(binary_form=True) == own[0]


def test_an_acceptor_refuses_a_stranger(context: Callable[..., ssl.SSLContext]) -> None:
    dialler = context(STRANGER, [build_certificate(BERT)], server=False)
    acceptor = context(BERT, [*MANY, build_certificate(ANNA)], server=True)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(dialler, acceptor)


def test_a_dialler_refuses_a_stranger(context: Callable[..., ssl.SSLContext]) -> None:
    dialler = context(ANNA, [*MANY, build_certificate(BERT)], server=False)
    acceptor = context(STRANGER, [build_certificate(ANNA)], server=True)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(dialler, acceptor)


@pytest.mark.parametrize("server", [False, True], ids=["dialler", "acceptor"])
def test_who_has_pinned_nobody_meets_nobody(context: Callable[..., ssl.SSLContext], server: bool) -> None:
    empty, other = context(ANNA, [], server=server), context(BERT, [build_certificate(ANNA)], server=not server)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(*((other, empty) if server else (empty, other)))


def _issued_by_anna() -> tuple[bytes, bytes]:
    """A stranger's certificate and key, issued with the secret of a node that is pinned."""
    anna = x509.load_der_x509_certificate(build_certificate(ANNA))
    signer = Ed25519PrivateKey.from_private_bytes(ANNA.reveal())
    key = Ed25519PrivateKey.from_private_bytes(STRANGER.reveal())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stranger")])
    certificate = _certificate(key, signer, subject, anna.subject, ca=False)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate.public_bytes(Encoding.PEM)
    return pem, certificate.public_bytes(Encoding.DER)


def test_a_pinned_node_cannot_vouch_for_a_stranger(context: Callable[..., ssl.SSLContext], tmp_path: Path) -> None:
    pem, der = _issued_by_anna()
    acceptor = context(BERT, [build_certificate(ANNA)], server=True)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(_context(tmp_path, pem, [build_certificate(BERT)], server=False), acceptor)
    assert refusal(der) is Reason.BAD_CERTIFICATE


def test_why_the_profile_forbids_authorities(context: Callable[..., ssl.SSLContext], tmp_path: Path) -> None:
    """Were a CA:TRUE certificate pinned, TLS would take whatever it issued; so none may enter a statement."""
    signer, ca = authority()
    key = Ed25519PrivateKey.from_private_bytes(STRANGER.reveal())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stranger")])
    issued = _certificate(key, signer, subject, ca.subject, ca=False)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + issued.public_bytes(Encoding.PEM)
    der = ca.public_bytes(Encoding.DER)
    handshake(_context(tmp_path, pem, [build_certificate(BERT)], server=False), context(BERT, [der], server=True))
    assert refusal(der) is Reason.BAD_CERTIFICATE


def test_the_certificate_is_the_pin_not_its_key(context: Callable[..., ssl.SSLContext], tmp_path: Path) -> None:
    key = Ed25519PrivateKey.from_private_bytes(ANNA.reveal())
    name = x509.load_der_x509_certificate(build_certificate(ANNA)).subject
    other = _certificate(key, key, name, name, ca=False)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + other.public_bytes(Encoding.PEM)
    acceptor = context(BERT, [build_certificate(ANNA)], server=True)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(_context(tmp_path, pem, [build_certificate(BERT)], server=False), acceptor)


def test_a_link_key_opens_with_its_passphrase_only(tmp_path: Path) -> None:
    path = tmp_path / "link.pem"
    path.write_bytes(private_key_pem(SECRET, b"right") + ssl.DER_cert_to_PEM_cert(DER).encode())
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in path.read_bytes()
    loading = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    loading.load_cert_chain(path, password=b"right")
    with pytest.raises(ssl.SSLError):
        loading.load_cert_chain(path, password=b"wrong")
