"""Long conversations and junk: two links that keep the rules never find fault, junk never does more than end a link."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from protocol.errors import RemoteProtocolError
from protocol.letter import LetterClass
from protocol.link import HalfState, Link, LinkEvent, PeerGoodbye, PeerHello, Push, Reply, Request, Role
from protocol.messages import (
    REPLIES,
    Heads,
    Message,
    Offer,
    RangeData,
    RangeGet,
    Result,
    StatusQuery,
    Wanted,
)
from tests.protocol.link_helpers import ENVELOPE, ENVELOPE_ID, MESSAGES, PAYLOAD_ID, SAMPLES, Pair, hello

_any_message = st.sampled_from(sorted(MESSAGES, key=lambda kind: kind.TYPE)).flatmap(MESSAGES.__getitem__)
_frames = st.lists(
    st.binary(max_size=40) | st.tuples(_any_message, st.integers(0, 6)).map(lambda item: item[0].frame(item[1])),
    max_size=12,
)


@given(st.sampled_from(Role), st.booleans(), _frames)
def test_junk_ends_the_link_and_nothing_else(role: Role, opened: bool, frames: list[bytes]) -> None:
    link = Link(role, hello(), 0)
    if opened:
        link.start()
        link.receive(hello(2).frame(0), 0)
        link.start()
        link.request(StatusQuery(ENVELOPE_ID))
    for data in frames:
        try:
            link.receive(data, 0)
        except RemoteProtocolError as error:
            assert link.peer_half is HalfState.DONE
            link.goodbye(error.reason)
            break
    link.handle_wakeup(1)


@given(st.lists(st.integers(0, 3000), max_size=10), st.booleans())
def test_events_do_not_depend_on_how_the_bytes_were_cut(cuts: list[int], says_goodbye: bool) -> None:
    pair = Pair()
    parts = [pair.dialler.request(Offer(LetterClass.NORMAL, bytes(size + 1)))[1] for size in range(0, 2000, 400)]
    parts.append(pair.dialler.push(Heads((b"a head",))))
    if says_goodbye:
        parts.append(pair.dialler.goodbye("stopping"))
    data = b"".join(parts)
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    events: list[LinkEvent] = []
    for start, end in pairwise(edges):
        events += pair.to_acceptor(data[start:end])
    assert events == Pair().to_acceptor(data)
    assert len(events) == len(parts)


_REQUESTS = sorted(REPLIES, key=lambda kind: kind.TYPE)


class _End:
    """One side, what was asked of it, and the bytes on their way to it."""

    def __init__(self, role: Role, number: int) -> None:
        self.link = Link(role, hello(number, max_offers=5, max_bytes=600_000), 0)
        self.on_the_way: deque[bytes] = deque()
        self.asked: dict[int, Message] = {}
        self.pieces_left: dict[int, int] = {}
        self.promised = 0
        self.awaited: set[int] = set()


class Conversation(RuleBasedStateMachine):
    """Two sides that ask, answer and push at will; each direction keeps its order, and loses nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.ends = (_End(Role.DIALLER, 1), _End(Role.ACCEPTOR, 2))
        for end in reversed(self.ends):
            self._send(end, end.link.start())
        for _ in range(2):
            for end in self.ends:
                self._deliver(end)

    def _other(self, end: _End) -> _End:
        return self.ends[0] if end is self.ends[1] else self.ends[1]

    def _send(self, end: _End, data: bytes) -> None:
        if data:
            self._other(end).on_the_way.append(data)

    def _deliver(self, end: _End) -> None:
        data = b"".join(end.on_the_way)
        end.on_the_way.clear()
        for event in end.link.receive(data, 0):
            match event:
                case PeerHello():
                    self._send(end, end.link.start())
                case Request(stream, message):
                    assert stream not in end.asked
                    end.asked[stream] = message
                    if isinstance(message, RangeGet):
                        end.pieces_left[stream] = 5 * message.count
                case Reply(stream, message, final):
                    assert stream in end.awaited
                    if final:
                        end.awaited.remove(stream)
                case Push() | PeerGoodbye():
                    pass

    def _ask(self, end: _End, message: Message, letter_class: LetterClass) -> None:
        stream, data = end.link.request(message, letter_class)
        end.awaited.add(stream)
        self._send(end, data)

    @rule(which=st.integers(0, 1), letter_class=st.sampled_from(LetterClass))
    def offer(self, which: int, letter_class: LetterClass) -> None:
        end = self.ends[which]
        if end.link.can_offer(letter_class):
            self._ask(end, Offer(letter_class, ENVELOPE), letter_class)

    @rule(which=st.integers(0, 1), letter_class=st.sampled_from(LetterClass), count=st.integers(1, 3))
    def ask_for_a_range(self, which: int, letter_class: LetterClass, count: int) -> None:
        end, message = self.ends[which], RangeGet(PAYLOAD_ID, 0, count)
        if end.link.can_request_bytes(message.max_data_bytes, letter_class):
            self._ask(end, message, letter_class)

    @rule(which=st.integers(0, 1), kind=st.sampled_from([kind for kind in _REQUESTS if kind not in (Offer, RangeGet)]))
    def ask_something_else(self, which: int, kind: type[Message]) -> None:
        end = self.ends[which]
        if end.link.can_request_control():
            self._ask(end, SAMPLES[kind], LetterClass.NORMAL)

    @rule(which=st.integers(0, 1), at=st.integers(0, 20), choice=st.integers(0, 2))
    def answer(self, which: int, at: int, choice: int) -> None:
        end = self.ends[which]
        if not end.asked:
            return
        stream = sorted(end.asked)[at % len(end.asked)]
        replies = REPLIES[type(end.asked[stream])]
        reply = SAMPLES[replies[choice % len(replies)]]
        self._send(end, end.link.reply(stream, reply))
        del end.asked[stream]
        end.promised += isinstance(reply, Wanted)

    @rule(which=st.integers(0, 1), at=st.integers(0, 20))
    def send_a_piece(self, which: int, at: int) -> None:
        end = self.ends[which]
        ranges = sorted(stream for stream, left in end.pieces_left.items() if stream in end.asked and left > 1)
        if ranges:
            stream = ranges[at % len(ranges)]
            end.pieces_left[stream] -= 1
            self._send(end, end.link.reply(stream, RangeData(bytes(52_432), False)))

    @precondition(lambda self: any(end.promised for end in self.ends))
    @rule(which=st.integers(0, 1))
    def push_a_result(self, which: int) -> None:
        end = self.ends[which]
        if end.promised:
            end.promised -= 1
            self._send(end, end.link.push(Result(ENVELOPE_ID)))

    @rule(which=st.integers(0, 1))
    def push_heads(self, which: int) -> None:
        self._send(self.ends[which], self.ends[which].link.push(SAMPLES[Heads]))

    @rule(which=st.integers(0, 1))
    def deliver(self, which: int) -> None:
        self._deliver(self.ends[which])

    @invariant()
    def both_are_open(self) -> None:
        for end in self.ends:
            assert end.link.own_half is end.link.peer_half is HalfState.SPEAKING
            assert end.link.unanswered == len(end.asked)

    def teardown(self) -> None:
        """Whatever the two did, once all is answered every window is wide open again."""
        for _ in range(2):
            for end in self.ends:
                self._deliver(end)
            for end in self.ends:
                for stream, message in end.asked.items():
                    self._send(end, end.link.reply(stream, SAMPLES[REPLIES[type(message)][-1]]))
                    end.promised += isinstance(message, Offer)
                end.asked.clear()
        for end in self.ends:
            self._deliver(end)
            assert not end.awaited
            assert end.link.can_request_bytes(600_000, LetterClass.BULK)
            assert all(end.link.can_offer(letter_class) for letter_class in LetterClass)


TestConversation = Conversation.TestCase
