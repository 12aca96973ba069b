"""The two errors of the protocol room, and the closed list of reasons that a peer may learn."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["LocalProtocolError", "Reason", "RemoteProtocolError", "malformed"]


class Reason(StrEnum):
    """Why bytes from outside were refused. The value is what a peer is told and what vectors name."""

    MALFORMED = "malformed"
    """Not the shape that the spec gives: truncated, wrong type, missing or unknown field."""
    NOT_CANONICAL = "not_canonical"
    """Decodes, but is not the one encoding that the strict subset allows."""
    TOO_LARGE = "too_large"
    TOO_DEEP = "too_deep"
    UNKNOWN_VERSION = "unknown_version"
    BAD_KEY = "bad_key"
    """A public key that is no valid point, or of the wrong length."""
    BAD_SIGNATURE = "bad_signature"
    BAD_BOX = "bad_box"
    """A sealed box that does not open with our key and its context."""
    BAD_COMMITMENT = "bad_commitment"
    BAD_PADDING = "bad_padding"
    BAD_PROOF = "bad_proof"
    """An inclusion or consistency proof that does not lead to the signed root."""
    BAD_CERTIFICATE = "bad_certificate"
    NOT_FOR_US = "not_for_us"
    NOT_ADDRESSED = "not_addressed"
    """The opener's mailbox is neither in to nor in cc of the signed letter."""
    MISMATCH = "mismatch"
    """Two parts that must agree do not (head and slip, slip and letter, evidence and envelope)."""
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    UNKNOWN_KEY = "unknown_key"
    """Sealed to, or signed by, a key that is not known or no longer kept."""
    FORK = "fork"
    """Two signed heads, or two signed statements, that cannot both be true."""
    ROLLBACK = "rollback"
    """A head smaller than one already seen."""
    WRONG_STATE = "wrong_state"
    """A frame that the link does not allow at this point."""
    OVERLOAD = "overload"
    """More unanswered work than the windows stated in hello allow."""
    SILENT = "silent"
    """Nothing was heard from the peer within the keep-alive limit."""


class RemoteProtocolError(Exception):
    """Bytes from outside broke the rules. The only error that parsing such bytes may raise.

    reason: what the peer may be told. detail: for our own log; names ids and sizes, never content.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail


class LocalProtocolError(Exception):
    """Our own program misused the protocol: a bug or a caller's bad argument, never a peer's doing."""


def malformed(detail: str) -> RemoteProtocolError:
    """The error for what is not of its shape, to be raised."""
    return RemoteProtocolError(Reason.MALFORMED, detail)
