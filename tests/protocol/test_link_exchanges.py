"""Requests, replies and promised results between two joined links. Spec: spec/wire.md, 4 and 9."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.ids import EnvelopeId, MailboxId
from protocol.letter import LetterClass
from protocol.link import Link, PeerGoodbye, Push, Reply, Request
from protocol.messages import (
    CIPHERTEXT_CHUNK_BYTES,
    REPLIES,
    Gone,
    HashesData,
    HashesGet,
    Heads,
    MailboxResult,
    Message,
    Offer,
    RangeData,
    RangeGet,
    Result,
    StatusQuery,
    Wanted,
    Withdraw,
    range_pieces,
)
from tests.protocol.link_helpers import ENVELOPE, ENVELOPE_ID, PAYLOAD_ID, SAMPLES, Pair

OFFER = Offer(LetterClass.NORMAL, ENVELOPE)
OTHER_ID = EnvelopeId(bytes(32))
DEPOSITED = MailboxResult(mailbox=MailboxId(bytes(16)), status="deposited", evidence=b"evidence")


def _refused(link: Link, data: bytes, reason: Reason) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        link.receive(data, 0)
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    ("request_type", "reply_type"),
    [(request, reply) for request, replies in REPLIES.items() for reply in replies],
    ids=lambda kind: kind.__name__,
)
def test_each_request_with_each_reply(request_type: type[Message], reply_type: type[Message]) -> None:
    pair = Pair()
    stream = pair.ask(SAMPLES[request_type])
    assert pair.acceptor.unanswered == 1
    assert pair.answer(stream, SAMPLES[reply_type]) is True
    assert pair.acceptor.unanswered == 0
    with pytest.raises(LocalProtocolError):
        pair.acceptor.reply(stream, SAMPLES[reply_type])


@pytest.mark.parametrize(
    ("request_type", "reply_type"),
    [
        (request, reply)
        for request, replies in REPLIES.items()
        for reply in sorted({kind for kinds in REPLIES.values() for kind in kinds} - set(replies), key=lambda k: k.TYPE)
    ],
    ids=lambda kind: kind.__name__,
)
def test_no_request_takes_another_reply(request_type: type[Message], reply_type: type[Message]) -> None:
    pair = Pair()
    stream = pair.ask(SAMPLES[request_type])
    with pytest.raises(LocalProtocolError):
        pair.acceptor.reply(stream, SAMPLES[reply_type])
    _refused(pair.dialler, SAMPLES[reply_type].frame(stream), Reason.WRONG_STATE)


def test_streams_of_the_two_sides_never_meet() -> None:
    pair = Pair()
    assert [pair.dialler.request(OFFER)[0] for _ in range(3)] == [1, 3, 5]
    assert [pair.acceptor.request(OFFER)[0] for _ in range(3)] == [2, 4, 6]


def test_both_ask_at_once_and_answers_come_in_any_order() -> None:
    pair = Pair()
    streams = [pair.ask(OFFER) for _ in range(4)]
    stream, data = pair.acceptor.request(OFFER)
    assert pair.to_dialler(data) == [Request(stream, OFFER)]
    for each in reversed(streams):
        assert pair.answer(each, Result(ENVELOPE_ID))
    assert pair.to_acceptor(pair.dialler.reply(stream, Wanted(ENVELOPE_ID))) == [
        Reply(stream, Wanted(ENVELOPE_ID), True)
    ]


def test_many_frames_in_one_read() -> None:
    pair = Pair()
    asked = [pair.dialler.request(OFFER) for _ in range(44)]
    events = pair.to_acceptor(b"".join(data for _, data in asked) + Heads((b"a head",)).frame(0))
    assert events == [*(Request(stream, OFFER) for stream, _ in asked), Push(Heads((b"a head",)))]


def test_a_result_in_several_frames() -> None:
    pair = Pair()
    stream = pair.ask(OFFER)
    assert pair.answer(stream, Result(ENVELOPE_ID, (DEPOSITED,), more=True)) is False
    assert pair.acceptor.unanswered == 1
    assert pair.answer(stream, Result(ENVELOPE_ID, (DEPOSITED,))) is True


@pytest.mark.parametrize("request_type", [Offer, StatusQuery], ids=lambda kind: kind.__name__)
def test_a_result_names_the_envelope_that_was_asked_about(request_type: type[Message]) -> None:
    pair = Pair()
    stream = pair.ask(SAMPLES[request_type])
    with pytest.raises(LocalProtocolError):
        pair.acceptor.reply(stream, Result(OTHER_ID))
    _refused(pair.dialler, Result(OTHER_ID).frame(stream), Reason.MISMATCH)


def test_wanted_names_the_envelope_that_was_offered() -> None:
    pair = Pair()
    stream = pair.ask(OFFER)
    with pytest.raises(LocalProtocolError):
        pair.acceptor.reply(stream, Wanted(OTHER_ID))
    _refused(pair.dialler, Wanted(OTHER_ID).frame(stream), Reason.MISMATCH)


def test_the_envelope_of_a_withdrawal_is_sealed_so_any_may_be_named() -> None:
    pair = Pair()
    assert pair.answer(pair.ask(Withdraw(b"a box")), Result(OTHER_ID, (DEPOSITED,))) is True


def test_a_wanted_envelope_gets_its_result_on_stream_0() -> None:
    pair = Pair()
    assert pair.answer(pair.ask(OFFER), Wanted(ENVELOPE_ID)) is True
    first, last = Result(ENVELOPE_ID, (DEPOSITED,), more=True), Result(ENVELOPE_ID, (DEPOSITED,))
    for result in (first, last):
        assert pair.to_dialler(pair.acceptor.push(result)) == [Push(result)]
    with pytest.raises(LocalProtocolError):
        pair.acceptor.push(last)
    _refused(pair.dialler, last.frame(0), Reason.WRONG_STATE)


def test_an_envelope_wanted_twice_gets_two_results() -> None:
    pair = Pair()
    for _ in range(2):
        pair.answer(pair.ask(OFFER), Wanted(ENVELOPE_ID))
    for _ in range(2):
        assert pair.to_dialler(pair.acceptor.push(Result(ENVELOPE_ID))) == [Push(Result(ENVELOPE_ID))]
    _refused(pair.dialler, Result(ENVELOPE_ID).frame(0), Reason.WRONG_STATE)


def test_a_result_that_nobody_awaits() -> None:
    pair = Pair()
    pair.ask(OFFER)
    with pytest.raises(LocalProtocolError):
        pair.acceptor.push(Result(ENVELOPE_ID))
    _refused(pair.dialler, Result(ENVELOPE_ID).frame(0), Reason.WRONG_STATE)


def test_more_results_than_a_slip_has_mailboxes() -> None:
    pair = Pair()
    stream = pair.ask(OFFER)
    pair.answer(stream, Result(ENVELOPE_ID, (DEPOSITED,) * 40, more=True))
    too_many = Result(ENVELOPE_ID, (DEPOSITED,))
    with pytest.raises(LocalProtocolError):
        pair.acceptor.reply(stream, too_many)
    _refused(pair.dialler, too_many.frame(stream), Reason.OVERLOAD)


def test_more_pushed_results_than_a_slip_has_mailboxes() -> None:
    pair = Pair()
    pair.answer(pair.ask(OFFER), Wanted(ENVELOPE_ID))
    pair.to_dialler(pair.acceptor.push(Result(ENVELOPE_ID, (DEPOSITED,) * 40, more=True)))
    _refused(pair.dialler, Result(ENVELOPE_ID, (DEPOSITED,)).frame(0), Reason.OVERLOAD)


def test_a_range_of_several_chunks_the_last_one_shorter() -> None:
    pair = Pair()
    stream = pair.ask(RangeGet(PAYLOAD_ID, 3, 2))
    pieces = [*range_pieces(bytes(CIPHERTEXT_CHUNK_BYTES), last=False), *range_pieces(bytes(100_000), last=True)]
    assert [pair.answer(stream, piece) for piece in pieces] == [False] * 6 + [True]


def test_a_range_can_end_in_gone() -> None:
    pair = Pair()
    stream = pair.ask(RangeGet(PAYLOAD_ID, 0, 2))
    assert pair.answer(stream, RangeData(bytes(52_432), False)) is False
    assert pair.answer(stream, Gone("unreadable")) is True
    _refused(pair.dialler, RangeData(bytes(52_432), False).frame(stream), Reason.WRONG_STATE)


@pytest.mark.parametrize(
    ("request_message", "piece", "count"),
    [
        (RangeGet(PAYLOAD_ID, 0, 1), RangeData(bytes(52_432), False), 5),
        (HashesGet(PAYLOAD_ID), HashesData(bytes(64_000), False), 4),
    ],
    ids=["range", "hashes"],
)
def test_more_data_than_was_asked_for(request_message: Message, piece: Message, count: int) -> None:
    pair = Pair()
    stream = pair.ask(request_message)
    for _ in range(count):
        pair.answer(stream, piece)
    with pytest.raises(LocalProtocolError):
        pair.acceptor.reply(stream, piece)
    _refused(pair.dialler, piece.frame(stream), Reason.OVERLOAD)


def test_a_stream_with_an_unanswered_request_takes_no_second_one() -> None:
    pair = Pair()
    stream = pair.ask(OFFER)
    _refused(pair.acceptor, OFFER.frame(stream), Reason.WRONG_STATE)


def test_what_was_asked_before_goodbye_is_still_answered() -> None:
    pair = Pair()
    stream = pair.ask(OFFER)
    assert pair.to_acceptor(pair.dialler.goodbye("stopping")) == [PeerGoodbye("stopping")]
    assert pair.answer(stream, Wanted(ENVELOPE_ID)) is True
    assert pair.to_dialler(pair.acceptor.push(Result(ENVELOPE_ID))) == [Push(Result(ENVELOPE_ID))]
    assert pair.to_dialler(pair.acceptor.goodbye("goodbye")) == [PeerGoodbye("goodbye")]
    pair.dialler.received_eof(pair.now_ms)
    pair.acceptor.received_eof(pair.now_ms)


def test_goodbyes_that_cross() -> None:
    pair = Pair()
    farewells = pair.dialler.goodbye("idle"), pair.acceptor.goodbye("stopping")
    assert pair.to_acceptor(farewells[0]) == [PeerGoodbye("idle")]
    assert pair.to_dialler(farewells[1]) == [PeerGoodbye("stopping")]


def test_a_message_that_does_not_fit_changes_nothing() -> None:
    pair = Pair()
    too_large: list[Callable[[], object]] = [
        lambda: pair.dialler.request(Offer(LetterClass.NORMAL, bytes(60_000), bytes(60_000))),
        lambda: pair.dialler.push(Heads((bytes(16_000),) * 5)),
    ]
    for call in too_large:
        with pytest.raises(LocalProtocolError):
            call()
    assert pair.ask(OFFER) == 1


@pytest.mark.parametrize("message", [Gone("x"), Heads(()), Result(ENVELOPE_ID)], ids=lambda m: type(m).__name__)
def test_what_is_no_request_is_not_asked(message: Message) -> None:
    with pytest.raises(LocalProtocolError):
        Pair().dialler.request(message)


@pytest.mark.parametrize("message", [Gone("x"), OFFER], ids=lambda m: type(m).__name__)
def test_what_is_no_push_is_not_pushed(message: Message) -> None:
    with pytest.raises(LocalProtocolError):
        Pair().dialler.push(message)


def test_after_a_fault_nothing_more_is_taken_but_the_peer_can_be_told() -> None:
    pair = Pair()
    _refused(pair.dialler, bytes(4), Reason.MALFORMED)
    _refused(pair.dialler, Heads(()).frame(0), Reason.WRONG_STATE)
    with pytest.raises(LocalProtocolError):
        pair.dialler.request(OFFER)
    assert pair.to_acceptor(pair.dialler.goodbye(Reason.MALFORMED)) == [PeerGoodbye("malformed")]
