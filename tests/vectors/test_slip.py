"""spec/vectors/slip.json."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.crypto import SealSecret, Secret, VerifyKey
from protocol.ids import MailboxId
from protocol.slip import SignedSlip, check_times, decode_signed_slip, open_wrap, sign_slip
from spec.vectors.hpke_by_hand import open_by_hand
from spec.vectors.sample_sealing import IDENTITY
from tests.vectors.vector_files import load_cases, outcome


@pytest.mark.parametrize("case", load_cases("slip"))
def test_slip(case: dict[str, Any]) -> None:
    given = case["input"]
    mailbox = MailboxId(bytes.fromhex(given["mailbox"]))
    seal_secret = SealSecret(bytes.fromhex(given["seal_secret"]))

    def read() -> tuple[SignedSlip, Secret]:
        signed = decode_signed_slip(bytes.fromhex(given["signed_slip"]))
        check_times(signed.slip, given["now_ms"])
        signed.verify(VerifyKey(bytes.fromhex(given["identity_key"])))
        return signed, open_wrap(signed.wrap_for(mailbox), secret=seal_secret, slip=signed.slip, mailbox=mailbox)

    expect, found = outcome(read)
    assert expect == case["expect"]
    if expect == "ok":
        signed, payload_key = found
        assert payload_key.reveal().hex() == case["payload_key"]
        assert signed.slip_id.hex() == case["slip_id"]
        assert sign_slip(signed.slip, IDENTITY).hex() == given["signed_slip"]
        by_hand = open_by_hand(seal_secret.reveal(), bytes.fromhex(case["wrap_info"]), signed.wrap_for(mailbox))
        assert by_hand.hex() == case["payload_key"]
