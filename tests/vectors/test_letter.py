"""spec/vectors/letter.json."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.crypto import VerifyKey
from protocol.ids import MailboxId, NodeId
from protocol.letter import SignedLetter, decode_signed_letter, encode_letter
from protocol.slip import check_letter_against_slip, decode_signed_slip
from tests.vectors.vector_files import load_cases, outcome


@pytest.mark.parametrize("case", load_cases("letter"))
def test_letter(case: dict[str, Any]) -> None:
    given = case["input"]

    def read() -> SignedLetter:
        signed = decode_signed_letter(bytes.fromhex(given["signed_letter"]))
        signed.check_addressed_to(NodeId(bytes.fromhex(given["node"])), MailboxId(bytes.fromhex(given["mailbox"])))
        if "signed_slip" in given:
            check_letter_against_slip(signed, decode_signed_slip(bytes.fromhex(given["signed_slip"])).slip)
        signed.verify([VerifyKey(bytes.fromhex(key)) for key in given["keys"]])
        return signed

    expect, signed = outcome(read)
    assert expect == case["expect"]
    if expect == "ok":
        letter = signed.letter
        assert encode_letter(letter) == signed.letter_bytes
        assert signed.raw.hex() == given["signed_letter"]
        found = {
            "digest": signed.digest.hex(),
            "subject": letter.subject,
            "class": letter.letter_class.value,
            "time_ms": letter.time_ms,
            "attachments": [item.name for item in letter.attachments],
        }
        assert found == {name: case[name] for name in found}
