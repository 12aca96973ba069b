"""Payloads: sealing in one pass whatever the pieces, opening chunk by chunk, padding down to the last zero."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.crypto import Secret
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.ids import LetterId
from protocol.padding import MIN_PADDED_BYTES, padded_length
from protocol.payload import (
    CHUNK_BYTES,
    MAX_ATTACHMENTS_BYTES,
    MAX_CONTENT_BYTES,
    MAX_SIGNED_LETTER_BYTES,
    TAG_BYTES,
    Descriptor,
    PayloadOpener,
    PayloadSealer,
    check_padding,
    content_length_for,
    content_tail_pieces,
    read_signed_letter,
    verify_chunk,
    verify_chunk_hashes,
)
from spec.vectors.sample_node import bytes_of

KEY = Secret(bytes_of("payload/key"))
LETTER_ID = LetterId(bytes_of("payload/letter", 16))
ATTACHMENT = bytes_of("payload/attachment", 2 * CHUNK_BYTES + 5_000)
LETTER = bytes_of("payload/any bytes stand for a letter", 300)


def reason_of(call: Callable[[], object]) -> Reason:
    with pytest.raises(RemoteProtocolError) as caught:
        call()
    return caught.value.reason


@dataclass(frozen=True, slots=True)
class Sealed:
    content: bytes
    descriptor: Descriptor
    chunks: list[bytes]
    hashes: list[bytes]

    def read(self, offset: int, length: int) -> bytes:
        return self.content[offset : offset + length]


def seal(content: bytes, *cuts: int, as_views: bool = False) -> Sealed:
    """Sealed in the pieces between the cuts."""
    sealer = PayloadSealer(KEY, LETTER_ID, len(content))
    chunks: list[bytes] = []
    marks = [0, *sorted(cuts), len(content)]
    for start, end in pairwise(marks):
        piece = content[start:end]
        chunks += sealer.update(memoryview(piece) if as_views else piece)
    chunks += sealer.finish()
    return Sealed(content, sealer.descriptor, chunks, sealer.chunk_hashes)


def content_with(attachments: bytes, letter: bytes = LETTER) -> bytes:
    return attachments + b"".join(content_tail_pieces(len(attachments), letter))


WHOLE = seal(content_with(ATTACHMENT))


@settings(max_examples=30)
@given(
    cuts=st.lists(st.integers(0, len(WHOLE.content)) | st.sampled_from([CHUNK_BYTES, 2 * CHUNK_BYTES]), max_size=6),
    as_views=st.booleans(),
)
def test_the_pieces_in_which_content_comes_do_not_show(cuts: list[int], as_views: bool) -> None:
    assert seal(WHOLE.content, *cuts, as_views=as_views) == WHOLE


def test_every_chunk_opens_in_any_order() -> None:
    opener = PayloadOpener(WHOLE.descriptor, KEY, LETTER_ID)
    assert len(WHOLE.chunks) == WHOLE.descriptor.chunk_count == 3
    for index in (2, 0, 1):
        verify_chunk(WHOLE.descriptor, WHOLE.hashes, index, WHOLE.chunks[index])
        start = index * CHUNK_BYTES
        assert opener.open_chunk(index, WHOLE.chunks[index]) == WHOLE.content[start : start + CHUNK_BYTES]
        assert WHOLE.descriptor.chunk_length(index) == len(WHOLE.chunks[index])
    assert WHOLE.descriptor.ciphertext_length == sum(map(len, WHOLE.chunks)) == len(WHOLE.content) + 3 * TAG_BYTES


@settings(max_examples=30)
@given(index=st.integers(0, 2), at=st.integers(0), bit=st.integers(0, 7))
def test_no_bit_of_a_chunk_can_change(index: int, at: int, bit: int) -> None:
    changed = bytearray(WHOLE.chunks[index])
    changed[at % len(changed)] ^= 1 << bit
    opener = PayloadOpener(WHOLE.descriptor, KEY, LETTER_ID)
    assert reason_of(lambda: verify_chunk(WHOLE.descriptor, WHOLE.hashes, index, bytes(changed))) is Reason.MISMATCH
    assert reason_of(lambda: opener.open_chunk(index, bytes(changed))) is Reason.BAD_BOX


@pytest.mark.parametrize(("index", "other"), [(0, 1), (1, 0), (1, 2), (2, 1)])
def test_chunks_do_not_stand_for_each_other(index: int, other: int) -> None:
    opener = PayloadOpener(WHOLE.descriptor, KEY, LETTER_ID)
    chunk = WHOLE.chunks[other]
    assert reason_of(lambda: verify_chunk(WHOLE.descriptor, WHOLE.hashes, index, chunk)) is Reason.MISMATCH
    assert reason_of(lambda: opener.open_chunk(index, chunk)) is Reason.BAD_BOX


@pytest.mark.parametrize("index", [-1, 3])
def test_there_is_no_chunk_outside(index: int) -> None:
    assert reason_of(lambda: verify_chunk(WHOLE.descriptor, WHOLE.hashes, index, WHOLE.chunks[0])) is Reason.MISMATCH
    with pytest.raises(LocalProtocolError):
        WHOLE.descriptor.chunk_length(index)


def test_hashes_are_all_of_them_in_order() -> None:
    verify_chunk_hashes(WHOLE.descriptor, WHOLE.hashes)
    first, second, third = WHOLE.hashes
    for hashes in ([], [first, second], [*WHOLE.hashes, third], [second, first, third]):
        with pytest.raises(RemoteProtocolError) as caught:
            verify_chunk_hashes(WHOLE.descriptor, hashes)
        assert caught.value.reason is Reason.MISMATCH


def test_a_payload_cut_after_a_whole_chunk_does_not_open_as_a_shorter_one() -> None:
    """The last chunk says so in its nonce: a descriptor made for the first chunk alone does not help."""
    shorter = replace(WHOLE.descriptor, content_length=CHUNK_BYTES, root=WHOLE.hashes[0])
    verify_chunk(shorter, (), 0, WHOLE.chunks[0])
    opener = PayloadOpener(shorter, KEY, LETTER_ID)
    assert reason_of(lambda: opener.open_chunk(0, WHOLE.chunks[0])) is Reason.BAD_BOX


@pytest.mark.parametrize(
    ("fed", "message"), [(1023, "1023 of 1024 bytes"), (1025, "more content")], ids=["too_little", "too_much"]
)
def test_content_has_the_length_announced(fed: int, message: str) -> None:
    sealer = PayloadSealer(KEY, LETTER_ID, 1024)
    with pytest.raises(LocalProtocolError, match=message):
        (sealer.update(bytes(fed)), sealer.finish())
    with pytest.raises(LocalProtocolError, match="not finished"):
        _ = sealer.descriptor


@pytest.mark.parametrize("length", [0, 1025, MAX_CONTENT_BYTES + 2**26], ids=["nothing", "not_padded", "too_long"])
def test_content_is_padded_and_within_the_limit(length: int) -> None:
    with pytest.raises(LocalProtocolError):
        PayloadSealer(KEY, LETTER_ID, length)
    with pytest.raises(LocalProtocolError):
        Descriptor(bytes(32), length, bytes(32))


def test_a_payload_key_has_32_bytes() -> None:
    with pytest.raises(LocalProtocolError, match="32 bytes"):
        PayloadSealer(Secret(bytes(31)), LETTER_ID, 1024)


@pytest.mark.parametrize(("commitment", "root"), [(31, 32), (32, 33)])
def test_a_descriptor_has_hashes_of_32_bytes(commitment: int, root: int) -> None:
    with pytest.raises(LocalProtocolError):
        Descriptor(bytes(commitment), 1024, bytes(root))


@given(raw=st.binary(min_size=72, max_size=72) | st.binary(max_size=100), length=st.integers(0, MAX_CONTENT_BYTES))
def test_a_descriptor_is_one_encoding_or_refused(raw: bytes, length: int) -> None:
    for data in (raw, raw[:32] + padded_length(length).to_bytes(8, "big") + raw[40:]):
        try:
            descriptor = Descriptor.decode(data)
        except RemoteProtocolError:
            continue
        assert descriptor.encode() == data
        assert descriptor.chunk_count == -(-descriptor.content_length // CHUNK_BYTES)


# -- what is in the content


@pytest.mark.parametrize("size", [0, 1, MIN_PADDED_BYTES, CHUNK_BYTES - len(LETTER) - 4, CHUNK_BYTES, len(ATTACHMENT)])
def test_the_letter_is_found_behind_attachments_of_any_length(size: int) -> None:
    made = seal(content_with(ATTACHMENT[:size]))
    assert len(made.content) == content_length_for(size, len(LETTER))
    found, start = read_signed_letter(made.descriptor, made.read)
    assert (found, start) == (LETTER, len(made.content) - 4 - len(LETTER))
    check_padding(made.descriptor, size, start, made.read)


def test_the_tail_is_made_in_pieces_and_padding_read_in_pieces() -> None:
    size = 2**24 + 1
    pieces = list(content_tail_pieces(size, LETTER))
    assert len(pieces) > 2
    assert max(map(len, pieces)) <= CHUNK_BYTES
    length = content_length_for(size, len(LETTER))
    assert size + sum(map(len, pieces)) == length
    start = length - 4 - len(LETTER)
    asked: list[tuple[int, int]] = []

    def zeros(offset: int, count: int) -> bytes:
        asked.append((offset, count))
        return bytes(count)

    check_padding(Descriptor(bytes(32), length, bytes(32)), size, start, zeros)
    assert asked[0][0] == size
    assert sum(asked[-1]) == start
    assert sum(count for _, count in asked) == start - size
    assert max(count for _, count in asked) <= CHUNK_BYTES


@settings(max_examples=30)
@given(data=st.data())
def test_every_byte_of_padding_is_looked_at(data: st.DataObject) -> None:
    made = seal(content_with(ATTACHMENT))
    _, start = read_signed_letter(made.descriptor, made.read)
    at = data.draw(st.integers(len(ATTACHMENT), start - 1))
    content = bytearray(made.content)
    content[at] = data.draw(st.integers(1, 255))
    hidden = replace(made, content=bytes(content))
    assert reason_of(lambda: check_padding(made.descriptor, len(ATTACHMENT), start, hidden.read)) is Reason.BAD_PADDING


@pytest.mark.parametrize(
    "length", [0, 1024 - 3, MAX_SIGNED_LETTER_BYTES + 1, 2**32 - 1], ids=["none", "no_room", "limit", "largest"]
)
def test_a_letter_of_an_impossible_length_is_not_read(length: int) -> None:
    descriptor = Descriptor(bytes(32), 1024, bytes(32))
    asked: list[int] = []

    def read(_: int, count: int) -> bytes:
        asked.append(count)
        return length.to_bytes(4, "big")

    assert reason_of(lambda: read_signed_letter(descriptor, read)) is Reason.MALFORMED
    assert asked == [4]


@pytest.mark.parametrize(
    ("attachments", "letter"),
    [(0, 0), (-1, 1), (0, MAX_SIGNED_LETTER_BYTES + 1), (MAX_ATTACHMENTS_BYTES + 1, 1)],
    ids=["no_letter", "negative", "long_letter", "large_attachments"],
)
def test_content_beyond_the_limits_is_not_made(attachments: int, letter: int) -> None:
    with pytest.raises(LocalProtocolError):
        content_length_for(attachments, letter)


def test_the_largest_letter_with_the_largest_attachments_fits() -> None:
    length = content_length_for(MAX_ATTACHMENTS_BYTES, MAX_SIGNED_LETTER_BYTES)
    assert length == MAX_CONTENT_BYTES
    assert Descriptor(bytes(32), length, bytes(32)).chunk_count == 8448


# -- lengths


@given(length=st.integers(0, 2**40))
def test_padding_is_small_and_stays(length: int) -> None:
    padded = padded_length(length)
    assert padded >= max(length, MIN_PADDED_BYTES)
    assert padded_length(padded) == padded
    assert padded == MIN_PADDED_BYTES or (padded - length) * 16 <= length


@given(length=st.integers(0, 2**40), more=st.integers(0, 2**20))
def test_a_longer_text_is_not_padded_to_less(length: int, more: int) -> None:
    assert padded_length(length) <= padded_length(length + more)


def test_letters_of_up_to_a_mebibyte_fall_into_few_lengths() -> None:
    assert len({padded_length(length) for length in range(0, 2**20 + 1, 64)}) == 1 + 6 * 16 + 4 * 32
