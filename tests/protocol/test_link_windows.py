"""Windows: what is stated, kept for a class, enforced. Spec: spec/wire.md, 9."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.letter import LetterClass
from protocol.link import MAX_UNANSWERED_CONTROL
from protocol.link_windows import Window
from protocol.messages import (
    CIPHERTEXT_CHUNK_BYTES,
    MAX_RANGE_CHUNKS,
    Event,
    EventOk,
    Gone,
    Offer,
    RangeData,
    RangeGet,
    Result,
    range_pieces,
)
from tests.protocol.link_helpers import ENVELOPE, ENVELOPE_ID, PAYLOAD_ID, Pair

URGENT, NORMAL, BULK = LetterClass.URGENT, LetterClass.NORMAL, LetterClass.BULK
_classes = st.sampled_from(LetterClass)


def _fill(pair: Pair, letter_class: LetterClass) -> list[int]:
    """Offer letters of a class until the window shuts; the streams."""
    streams = []
    while pair.dialler.can_offer(letter_class):
        streams.append(pair.ask(Offer(letter_class, ENVELOPE)))
    with pytest.raises(LocalProtocolError):
        pair.dialler.request(Offer(letter_class, ENVELOPE))
    return streams


def test_each_class_leaves_what_the_others_have_kept() -> None:
    pair = Pair()
    assert [len(_fill(pair, each)) for each in (NORMAL, BULK, URGENT, NORMAL)] == [44, 4, 16, 0]
    pair = Pair()
    assert [len(_fill(pair, each)) for each in (URGENT, NORMAL, BULK)] == [60, 0, 4]
    pair = Pair()
    assert [len(_fill(pair, each)) for each in (BULK, NORMAL, URGENT)] == [48, 0, 16]


def test_an_answer_opens_the_window_again() -> None:
    pair = Pair()
    stream = _fill(pair, NORMAL)[7]
    pair.answer(stream, Result(ENVELOPE_ID))
    assert pair.dialler.can_offer(NORMAL)
    assert len(_fill(pair, NORMAL)) == 1


@pytest.mark.parametrize("letter_class", LetterClass)
def test_a_window_of_one_offer_takes_any_class(letter_class: LetterClass) -> None:
    assert len(_fill(Pair(max_offers=1), letter_class)) == 1


def test_bulk_finds_room_for_a_chunk_while_other_ranges_fill_the_default_window() -> None:
    window = Window(4 * 1024 * 1024, CIPHERTEXT_CHUNK_BYTES)
    for letter_class in (NORMAL, URGENT):
        while window.has_room(letter_class, CIPHERTEXT_CHUNK_BYTES):
            window.take(letter_class, CIPHERTEXT_CHUNK_BYTES)
    assert window.has_room(BULK, CIPHERTEXT_CHUNK_BYTES)


@given(
    st.integers(1, 200),
    st.integers(1, 5),
    st.lists(st.tuples(_classes, st.integers(1, 60), st.booleans()), max_size=60),
    _classes,
    st.integers(1, 60),
)
def test_no_class_is_ever_shut_out(
    limit: int, unit: int, steps: list[tuple[LetterClass, int, bool]], letter_class: LetterClass, amount: int
) -> None:
    window, under_way = Window(limit, unit), list[tuple[LetterClass, int]]()
    for each, size, ends in steps:
        if ends and under_way:
            window.give_back(*under_way.pop())
        elif window.has_room(each, size):
            window.take(each, size)
            under_way.append((each, size))
    assert window.total == sum(size for _, size in under_way)
    assert window.total <= limit or len(under_way) == 1
    # Whatever is under way gets answered some time, without anything else being needed; then there is room.
    while under_way and not window.has_room(letter_class, amount):
        window.give_back(*under_way.pop())
    assert window.has_room(letter_class, amount)


@given(st.integers(40, 4096), st.lists(st.tuples(_classes, st.integers(1, 400), st.booleans()), max_size=40))
def test_urgent_and_bulk_always_find_their_part(limit: int, steps: list[tuple[LetterClass, int, bool]]) -> None:
    window, used = Window(limit, 1), dict.fromkeys(LetterClass, 0)
    for each, count, comes in steps:
        for _ in range(count):
            if comes and window.has_room(each, 1):
                window.take(each, 1)
                used[each] += 1
            elif not comes and used[each]:
                window.give_back(each, 1)
                used[each] -= 1
    assert window.total == sum(used.values()) <= limit
    for owner, divisor in ((URGENT, 4), (BULK, 20)):
        for _ in range(-(-limit // divisor) - used[owner]):
            assert window.has_room(owner, 1)
            window.take(owner, 1)
            used[owner] += 1


def test_more_offers_than_stated_end_the_link() -> None:
    pair = Pair(max_offers=3)
    data = b"".join(Offer(BULK, ENVELOPE).frame(stream) for stream in (1, 3, 5))
    assert len(pair.to_acceptor(data)) == 3
    with pytest.raises(RemoteProtocolError) as caught:
        pair.to_acceptor(Offer(BULK, ENVELOPE).frame(7))
    assert caught.value.reason is Reason.OVERLOAD


def test_an_offer_too_many_is_refused_before_its_body_is_read() -> None:
    pair = Pair(max_offers=1)
    pair.ask(Offer(BULK, ENVELOPE))
    no_offer = bytes.fromhex("000000061000000003c1")
    with pytest.raises(RemoteProtocolError) as caught:
        pair.to_acceptor(no_offer)
    assert caught.value.reason is Reason.OVERLOAD


def test_control_requests_are_bounded_on_both_sides() -> None:
    pair = Pair()
    asked = []
    while pair.dialler.can_request_control():
        asked.append(pair.ask(Event(b"evidence")))
    assert len(asked) == MAX_UNANSWERED_CONTROL == 256
    with pytest.raises(LocalProtocolError):
        pair.dialler.request(Event(b"evidence"))
    assert pair.dialler.can_offer(NORMAL)
    pair.answer(asked[0], EventOk())
    asked.append(pair.ask(Event(b"evidence")))
    with pytest.raises(RemoteProtocolError) as caught:
        pair.to_acceptor(Event(b"evidence").frame(asked[-1] + 2))
    assert caught.value.reason is Reason.OVERLOAD


def _ranges(pair: Pair, *counts: int) -> None:
    for at, count in enumerate(counts):
        pair.to_acceptor(RangeGet(PAYLOAD_ID, 0, count).frame(2 * at + 1))


def test_more_bytes_than_stated_end_the_link() -> None:
    _ranges(Pair(), 8, 7)
    with pytest.raises(RemoteProtocolError) as caught:
        _ranges(Pair(), 8, 8)
    assert caught.value.reason is Reason.OVERLOAD


def test_one_range_may_always_be_asked_for_and_nothing_beside_it() -> None:
    pair = Pair(max_bytes=CIPHERTEXT_CHUNK_BYTES)
    assert pair.dialler.can_request_bytes(MAX_RANGE_CHUNKS * CIPHERTEXT_CHUNK_BYTES, BULK)
    pair.ask(RangeGet(PAYLOAD_ID, 0, MAX_RANGE_CHUNKS))
    assert not pair.dialler.can_request_bytes(1, URGENT)
    with pytest.raises(LocalProtocolError):
        pair.dialler.request(RangeGet(PAYLOAD_ID, 0, 1), URGENT)
    with pytest.raises(RemoteProtocolError) as caught:
        pair.to_acceptor(RangeGet(PAYLOAD_ID, 0, 1).frame(3))
    assert caught.value.reason is Reason.OVERLOAD


def test_bytes_that_arrived_make_room_before_the_range_ends() -> None:
    pair = Pair(max_bytes=3 * CIPHERTEXT_CHUNK_BYTES)
    stream = pair.ask(RangeGet(PAYLOAD_ID, 0, 3))
    pieces = list(range_pieces(bytes(2 * CIPHERTEXT_CHUNK_BYTES), last=False))
    for piece in pieces[:-1]:
        pair.answer(stream, piece)
    assert not pair.dialler.can_request_bytes(CIPHERTEXT_CHUNK_BYTES, BULK)
    pair.answer(stream, pieces[-1])
    # One chunk of the first range, one for this one, and one kept for urgent letters.
    assert pair.dialler.can_request_bytes(CIPHERTEXT_CHUNK_BYTES, BULK)
    _, data = pair.dialler.request(RangeGet(PAYLOAD_ID, 3, 1), BULK)
    assert len(pair.to_acceptor(data)) == 1


def test_a_range_that_ends_early_gives_all_its_room_back() -> None:
    pair = Pair(max_bytes=CIPHERTEXT_CHUNK_BYTES)
    for last in (RangeData(b"short", True), Gone("unreadable")) * 3:
        stream = pair.ask(RangeGet(PAYLOAD_ID, 0, 16))
        assert pair.answer(stream, RangeData(bytes(52_432), False)) is False
        assert pair.answer(stream, last) is True
