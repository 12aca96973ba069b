"""spec/vectors/invite.json."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.crypto import SigningSecret
from protocol.invite import decode_invite, encode_invite
from tests.vectors.vector_files import load_cases, outcome


@pytest.mark.parametrize("case", load_cases("invite"))
def test_invite(case: dict[str, Any]) -> None:
    expect, invite = outcome(lambda: decode_invite(case["input"]["text"]))
    assert expect == case["expect"]
    if expect == "ok":
        fields = case["fields"]
        assert invite.chain.node_id.hex() == case["node"]
        assert (invite.institution, invite.domain) == (fields["name"], fields["domain"])
        assert (list(invite.endpoints), invite.made_at_ms) == (fields["at"], fields["time"])
        secret = SigningSecret(bytes.fromhex(case["seed"]))
        assert encode_invite(invite, secret) == "".join(case["input"]["text"].split())
