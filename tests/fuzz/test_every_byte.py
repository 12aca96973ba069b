"""A byte changed anywhere in an envelope or in a piece of evidence is noticed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from protocol.checkpoint import CheckpointVerifier
from protocol.crypto import SealSecret, Secret, VerifyKey
from protocol.details import Details
from protocol.envelope import decode_envelope, open_envelope
from protocol.errors import Reason, RemoteProtocolError
from protocol.evidence import boxed_envelope_id, open_boxed, verify_evidence
from protocol.ids import MailboxId, NodeId
from tests.vectors.vector_files import load_cases


def _first_good(topic: str) -> dict[str, Any]:
    cases: list[dict[str, Any]] = [parameters.values[0] for parameters in load_cases(topic)]  # type: ignore[misc]
    return next(case["input"] for case in cases if case["expect"] == "ok")


def _changed(raw: bytes) -> Iterator[bytes]:
    for at in range(len(raw)):
        for bit in (1, 0x80):
            yield raw[:at] + bytes([raw[at] ^ bit]) + raw[at + 1 :]


def _every_change_is_noticed(raw: bytes, read: Callable[[bytes], object]) -> None:
    read(raw)
    for changed in _changed(raw):
        with pytest.raises(RemoteProtocolError):
            read(changed)


def test_envelope() -> None:
    given = _first_good("envelope")
    secrets = [SealSecret(bytes.fromhex(item)) for item in given["seal_secrets"]]
    by_fingerprint = {secret.seal_key.fingerprint[:8]: secret for secret in secrets}
    raw = bytes.fromhex(given["envelope"])
    _every_change_is_noticed(raw, lambda data: open_envelope(decode_envelope(data), by_fingerprint))


def test_evidence() -> None:
    given = _first_good("evidence")
    node, boxed = NodeId(bytes.fromhex(given["node"])), bytes.fromhex(given["boxed"])
    keys = [VerifyKey(bytes.fromhex(key)) for key in given["keys"]]
    expected = Details(node=node, mailbox=MailboxId(bytes.fromhex(given["mailbox"])))
    reply_key, envelope_id = Secret(bytes.fromhex(given["reply_key"])), boxed_envelope_id(boxed)

    def read(data: bytes) -> None:
        verify_evidence(open_boxed(data, reply_key=reply_key), CheckpointVerifier(node, keys), expected=expected)
        # The envelope's id stands outside the box; whoever takes evidence compares it with the sealed one.
        if boxed_envelope_id(data) != envelope_id:
            raise RemoteProtocolError(Reason.MISMATCH, "about another envelope")

    _every_change_is_noticed(boxed, read)
