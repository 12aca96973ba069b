"""protocol/messages.py and the modules that it joins."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.codec import encode
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.evidence import MAX_EVIDENCE_BYTES
from protocol.frames import MAX_BODY_BYTES, FrameReader
from protocol.ids import EnvelopeId, MailboxId
from protocol.letter import LetterClass
from protocol.messages import (
    CIPHERTEXT_CHUNK_BYTES,
    MESSAGE_TYPES,
    OPTIONAL_TYPES,
    PUSHES,
    REPLIES,
    FeedOps,
    Gone,
    Goodbye,
    HashesData,
    Hello,
    MailboxResult,
    Message,
    Offer,
    RangeData,
    Result,
    Statements,
    hashes_pieces,
    inline_fits,
    range_pieces,
    split_results,
)
from protocol.messages_directory import MAX_SIGNED_STATEMENT_BYTES, that_fit
from tests.protocol.link_helpers import ENVELOPE_ID, MESSAGES, SAMPLES, hello

_any_message = st.sampled_from(sorted(MESSAGES, key=lambda kind: kind.TYPE)).flatmap(MESSAGES.__getitem__)


def _refusal(kind: type[Message], body: bytes) -> Reason:
    with pytest.raises(RemoteProtocolError) as caught:
        kind.decode(body)
    return caught.value.reason


@given(_any_message)
def test_every_message_comes_back(message: Message) -> None:
    body = message.encode()
    assert type(message).decode(body) == message
    assert type(message).decode(memoryview(body)).encode() == body
    (frame,) = FrameReader().feed(message.frame(7))
    assert (frame.type, frame.stream, bytes(frame.body)) == (message.TYPE, 7, body)


@given(st.sampled_from(sorted(MESSAGES, key=lambda kind: kind.TYPE)), st.binary(max_size=200))
def test_junk_is_refused_as_a_fault_of_the_peer_or_is_the_one_encoding(kind: type[Message], body: bytes) -> None:
    try:
        message = kind.decode(body)
    except RemoteProtocolError:
        return
    assert message.encode() == body


@given(_any_message, st.data())
def test_a_changed_byte_is_refused_or_is_the_one_encoding(message: Message, data: st.DataObject) -> None:
    body = bytearray(message.encode())
    if not body or isinstance(message, Hello):
        return
    body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = type(message).decode(bytes(body))
    except RemoteProtocolError:
        return
    assert found.encode() == body


def test_the_tables_hold_every_message() -> None:
    assert set(MESSAGE_TYPES.values()) == set(MESSAGES) == set(SAMPLES)
    assert all(number == kind.TYPE < OPTIONAL_TYPES for number, kind in MESSAGE_TYPES.items())
    replies = {kind for kinds in REPLIES.values() for kind in kinds}
    assert not replies & set(REPLIES)
    assert set(MESSAGES) - set(REPLIES) - replies - PUSHES == {
        kind for kind in MESSAGES if kind.__name__ in ("Hello", "Goodbye", "KeepAlive")
    }


def test_hello_passes_over_what_it_does_not_know() -> None:
    fields = hello().fields() | {"later": [1, {"and": True}]}
    assert Hello.decode(encode(fields)) == hello()


def test_no_other_message_does() -> None:
    assert _refusal(Goodbye, encode({"code": "stopping", "later": 1})) is Reason.MALFORMED


@pytest.mark.parametrize("code", ["", "Stopping", "two words", "1st", "x" * 65, "é", "a\n"], ids=repr)
def test_codes_are_words(code: str) -> None:
    assert _refusal(Gone, encode({"code": code})) is Reason.MALFORMED
    with pytest.raises(LocalProtocolError):
        Gone(code).encode()


def test_a_result_has_mailboxes_or_a_code_of_its_own() -> None:
    both = Result(ENVELOPE_ID, (MailboxResult(mailbox=MailboxId(bytes(16)), status="unknown"),), code="busy")
    assert _refusal(Result, both.encode()) is Reason.MALFORMED


@pytest.mark.parametrize(
    "message",
    [Result(ENVELOPE_ID, more=True), Statements((), True), FeedOps((), b"a head", True)],
    ids=["result", "statements", "operations"],
)
def test_more_after_nothing_is_refused(message: Message) -> None:
    assert _refusal(type(message), message.encode()) is Reason.MALFORMED


@pytest.mark.parametrize("length", [1, 52_432, 52_433, 262_160, 3 * 262_160 - 5])
def test_ranges_are_cut_into_full_pieces_and_the_rest(length: int) -> None:
    data = bytes(range(251)) * (length // 251 + 1)
    pieces = list(range_pieces(data[:length], last=True))
    assert b"".join(piece.data for piece in pieces) == data[:length]
    assert [piece.last for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert [RangeData.decode(piece.encode()) for piece in pieces] == pieces


def test_a_full_chunk_is_five_equal_frames_and_need_not_be_the_last() -> None:
    pieces = list(range_pieces(bytes(CIPHERTEXT_CHUNK_BYTES), last=False))
    assert [(len(piece.data), piece.last) for piece in pieces] == [(52_432, False)] * 5
    assert len({len(piece.frame(1)) for piece in pieces}) == 1


def test_hash_lists_are_cut_into_full_pieces_and_the_rest() -> None:
    pieces = list(hashes_pieces(bytes(32 * 4001)))
    assert [(len(piece.data), piece.last) for piece in pieces] == [(64_000, False), (64_000, False), (32, True)]
    assert [HashesData.decode(piece.encode()) for piece in pieces] == pieces


@given(st.lists(st.integers(1, MAX_EVIDENCE_BYTES), max_size=40))
def test_results_are_split_so_that_each_frame_takes_its_part(lengths: Sequence[int]) -> None:
    results = [
        MailboxResult(
            mailbox=MailboxId(bytes([at]) * 16), status="deposited", code="x" * 64, after_ms=2**40, evidence=bytes(size)
        )
        for at, size in enumerate(lengths)
    ]
    frames = split_results(ENVELOPE_ID, results)
    assert [item for frame in frames for item in frame.results] == results
    assert [frame.more for frame in frames] == [True] * (len(frames) - 1) + [False]
    assert all(Result.decode(frame.encode()) == frame for frame in frames)
    assert all(len(frame.encode()) <= MAX_BODY_BYTES for frame in frames)


@given(st.lists(st.integers(1, MAX_SIGNED_STATEMENT_BYTES), min_size=1, max_size=20), st.integers(0, 16_384))
def test_statements_and_operations_are_taken_while_they_fit(lengths: Sequence[int], head: int) -> None:
    items = [bytes(length) for length in lengths]
    taken = that_fit(items, beside=head)
    assert list(taken) == items[: len(taken)]
    assert len(taken) >= 1
    assert len(FeedOps(taken, bytes(head), more=True).encode()) <= MAX_BODY_BYTES
    if len(taken) < len(items):
        assert sum(map(len, items[: len(taken) + 1])) + head > MAX_BODY_BYTES - 1000


def test_a_frame_of_very_small_operations() -> None:
    taken = that_fit(bytes(1) for _ in range(5000))
    assert FeedOps.decode(FeedOps(taken, b"a head", more=True).encode()).operations == taken


@given(st.integers(1, 60_000), st.integers(17, 60_000))
def test_what_is_said_to_fit_an_offer_fits(envelope: int, chunk: int) -> None:
    offer = Offer(LetterClass.NORMAL, bytes(envelope), bytes(chunk))
    fits = inline_fits(offer.envelope, chunk)
    assert fits <= (len(offer.encode()) <= MAX_BODY_BYTES)
    assert fits or len(offer.encode()) > MAX_BODY_BYTES - 64


def test_an_offer_knows_its_envelope_id() -> None:
    offer = SAMPLES[Offer]
    assert isinstance(offer, Offer)
    assert offer.envelope_id == ENVELOPE_ID
    assert isinstance(offer.envelope_id, EnvelopeId)
