"""Boxes at rest: what is bound, beside the vectors."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from protocol.box import BOX_OVERHEAD_BYTES, SALT_BYTES, open_box, seal_box
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError

salts = st.binary(min_size=SALT_BYTES, max_size=SALT_BYTES)


@given(secret=st.binary(max_size=64), info=st.binary(max_size=64), salt=salts, plaintext=st.binary(max_size=300))
def test_a_box_is_what_the_spec_says(secret: bytes, info: bytes, salt: bytes, plaintext: bytes) -> None:
    okm = HKDF(SHA256(), 64, salt, info).derive(secret)
    box = seal_box(secret, info=info, salt=salt, plaintext=plaintext)
    assert box == salt + okm[32:] + AESGCM(okm[:32]).encrypt(bytes(12), plaintext, None)
    assert len(box) == len(plaintext) + BOX_OVERHEAD_BYTES
    assert open_box(secret, info=info, box=box) == plaintext


@given(junk=st.binary(max_size=200))
def test_junk_does_not_open(junk: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        open_box(b"secret", info=b"place", box=junk)
    wanted = Reason.MALFORMED if len(junk) < BOX_OVERHEAD_BYTES else Reason.BAD_COMMITMENT
    assert caught.value.reason is wanted


@pytest.mark.parametrize("length", [0, SALT_BYTES - 1, SALT_BYTES + 1])
def test_a_salt_of_another_length_is_our_mistake(length: int) -> None:
    with pytest.raises(LocalProtocolError, match="32 bytes"):
        seal_box(b"secret", info=b"place", salt=bytes(length), plaintext=b"")
