"""RFC 3161 timestamps over heads: what a token says, and whether an authority made it. Spec: spec/evidence.md, 14.

The parser and the verifier are Trail of Bits' rfc3161-client (rust-asn1, OpenSSL); this is the only importer.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Final

from cryptography import x509
from rfc3161_client import (
    HashAlgorithm,
    TimeStampRequest,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerifierBuilder,
    decode_timestamp_response,
)

from protocol.checkpoint import peek_checkpoint
from protocol.crypto import sha256
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.note import keep_signature, parse_note

__all__ = [
    "MAX_TOKEN_BYTES",
    "Timestamp",
    "TimestampRequest",
    "TsaRoots",
    "head_imprint",
    "read_timestamp",
    "stamped_head",
    "verify_timestamp",
]

# A token with its certificates takes 2 to 7 kB.
MAX_TOKEN_BYTES: Final = 32 * 1024
_MAX_NAME_CHARACTERS: Final = 200
_SHA256: Final = x509.ObjectIdentifier("2.16.840.1.101.3.4.2.1")
# PKIStatusInfo of a granted request: the token alone is kept, the library wants the answer around it.
_GRANTED: Final = bytes.fromhex("3003020100")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timestamp:
    """What a token says. time_ms: milliseconds UTC. imprint: SHA-256 of the stamped head. policy: dotted decimal.

    authority: the name that the token gives its signer, as RFC 4514 text; only a verified token proves it.
    """

    time_ms: int
    imprint: bytes
    policy: str
    authority: str


def stamped_head(head: bytes) -> bytes:
    """What a token over this head stamps: its text and the signature line of its own log, no other line.

    RemoteProtocolError: as parse_note; unknown_key if the log's own line is missing.
    """
    origin = peek_checkpoint(head).origin
    if origin not in [line.name for line in parse_note(head).signatures]:
        raise RemoteProtocolError(Reason.UNKNOWN_KEY, "a head without a signature by its log")
    return keep_signature(head, origin)


def head_imprint(head: bytes) -> bytes:
    """SHA-256 of `stamped_head`."""
    return sha256(stamped_head(head))


class TsaRoots:
    """Certificates of timestamping authorities that the reader trusts."""

    def __init__(self, certificates: Sequence[x509.Certificate]) -> None:
        self._certificates = tuple(certificates)

    @classmethod
    def from_pem(cls, raw: bytes) -> TsaRoots:
        """Of one or more PEM certificates. RemoteProtocolError(bad_certificate)."""
        try:
            return cls(x509.load_pem_x509_certificates(raw))
        except ValueError as error:
            raise RemoteProtocolError(Reason.BAD_CERTIFICATE, "no PEM certificates") from error

    def __add__(self, other: TsaRoots) -> TsaRoots:
        return TsaRoots((*self._certificates, *other._certificates))

    def verify(self, response: TimeStampResponse, imprint: bytes) -> None:
        """Raises unless these lead to the signature, and the imprint is this one.

        Tried together, since one may be needed to reach another, then each alone: two authorities of one name hide
        each other.
        """
        together = list(dict.fromkeys(self._certificates))
        failures = []
        for roots in (together, *([item] for item in together)):
            try:
                VerifierBuilder(roots=roots).build().verify(response, imprint)
            except Exception as error:  # the library beneath has many sorts
                failures.append(error)
            else:
                return
        raise failures[0]


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def _decoded(response: bytes) -> TimeStampResponse:
    """RemoteProtocolError(malformed) for what is no answer with a token over a SHA-256 imprint."""
    try:
        decoded = decode_timestamp_response(response)
        _ = decoded.signed_data.version, decoded.tst_info.version
    except ValueError as error:
        raise RemoteProtocolError(Reason.MALFORMED, "no RFC 3161 timestamp") from error
    if decoded.tst_info.message_imprint.hash_algorithm != _SHA256:
        raise RemoteProtocolError(Reason.MALFORMED, "a timestamp over another hash than SHA-256")
    return decoded


def _taken_apart(token: bytes) -> TimeStampResponse:
    if not 0 < len(token) <= MAX_TOKEN_BYTES:
        raise RemoteProtocolError(Reason.TOO_LARGE, f"a token of {len(token)} bytes")
    decoded = _decoded(_der(0x30, _GRANTED + token))
    if decoded.time_stamp_token() != token:
        raise RemoteProtocolError(Reason.NOT_CANONICAL, "a token that is written in two ways")
    signers = decoded.signed_data.signer_infos
    # What the signature does not cover and the verifier does not look at has one value here.
    if decoded.signed_data.version != 3 or [item.version for item in signers] != [1]:
        raise RemoteProtocolError(Reason.MALFORMED, "not one signer, or of another version")
    return decoded


def _described(response: TimeStampResponse) -> Timestamp:
    info = response.tst_info
    (signer,) = response.signed_data.signer_infos
    names = [
        certificate.subject.rfc4514_string()
        for certificate in map(x509.load_der_x509_certificate, response.signed_data.certificates)
        if (certificate.issuer, certificate.serial_number) == (signer.issuer, signer.serial_number)
    ]
    return Timestamp(
        time_ms=round(info.gen_time.astimezone(UTC).timestamp() * 1000),
        imprint=bytes(info.message_imprint.message),
        policy=info.policy.dotted_string,
        authority="".join(names[:1])[:_MAX_NAME_CHARACTERS],
    )


def read_timestamp(token: bytes) -> Timestamp:
    """What a token (DER, RFC 3161 TimeStampToken) claims, unverified.

    RemoteProtocolError: too_large, malformed, not_canonical.
    """
    decoded = _taken_apart(token)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return _described(decoded)
    except Exception as error:  # the libraries beneath name a bad certificate or time by errors of many sorts
        raise RemoteProtocolError(Reason.MALFORMED, "a timestamp with a bad field") from error


def verify_timestamp(token: bytes, roots: TsaRoots) -> Timestamp:
    """What a token says, once its signature leads to one of the roots, each certificate valid at the stamped time.

    RemoteProtocolError: as read_timestamp; bad_signature.
    """
    stamp = read_timestamp(token)
    try:
        roots.verify(_taken_apart(token), stamp.imprint)
    except Exception as error:  # likewise; whatever it is, nothing was verified
        detail = "the timestamp is not signed by the authority whose certificate was given"
        raise RemoteProtocolError(Reason.BAD_SIGNATURE, detail) from error
    return stamp


class TimestampRequest:
    """One question to an authority: the hash of a head, a fresh nonce, its certificates wanted."""

    def __init__(self, head: bytes) -> None:
        """head: as its log signed it; other signature lines are left out."""
        self._imprint = head_imprint(head)
        builder = TimestampRequestBuilder().data(stamped_head(head)).hash_algorithm(HashAlgorithm.SHA256)
        self._request: TimeStampRequest = builder.cert_request(cert_request=True).nonce(nonce=True).build()
        if self._request.message_imprint.message != self._imprint:
            raise LocalProtocolError("the request is over other bytes")

    @property
    def data(self) -> bytes:
        """The request, DER: the body of an HTTP POST of type application/timestamp-query."""
        return self._request.as_bytes()

    def take(self, answer: bytes, roots: TsaRoots | None, *, policy: str = "") -> bytes:
        """The token in an authority's answer (DER, TimeStampResp), checked against the question.

        roots: None if no certificate of the authority is at hand: then its signature stays in doubt.
        policy: dotted decimal of the one that the answer must have; empty for any.
        RemoteProtocolError: malformed, too_large; wrong_state (refused); mismatch (another hash, nonce or policy);
        bad_signature.
        """
        try:
            response = decode_timestamp_response(answer)
        except ValueError as error:
            raise RemoteProtocolError(Reason.MALFORMED, "no answer of a timestamping authority") from error
        if response.status != 0:
            raise RemoteProtocolError(Reason.WRONG_STATE, f"the authority refused, status {response.status}")
        try:
            token = response.time_stamp_token()
            nonce = response.tst_info.nonce
        except ValueError as error:
            raise RemoteProtocolError(Reason.MALFORMED, "an answer without a timestamp") from error
        stamp = read_timestamp(token)
        if stamp.imprint != self._imprint:
            raise RemoteProtocolError(Reason.MISMATCH, "a timestamp over another hash")
        if nonce != self._request.nonce:
            raise RemoteProtocolError(Reason.MISMATCH, "the answer to another question (nonce)")
        if policy and stamp.policy != policy:
            raise RemoteProtocolError(Reason.MISMATCH, f"a timestamp under the policy {stamp.policy}")
        if roots is not None:
            verify_timestamp(token, roots)
        return token
