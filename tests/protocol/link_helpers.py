"""Two link machines joined without a network, and strategies for every message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from protocol.crypto import hash_labelled
from protocol.fork_proof import ForkProof
from protocol.ids import EnvelopeId, MailboxId, NodeId, PayloadId
from protocol.labels import Label
from protocol.letter import LetterClass
from protocol.link import Link, LinkEvent, PeerHello, Reply, Request, Role
from protocol.messages import (
    RANGE_PIECE_BYTES,
    RESULT_STATUSES,
    Cosigned,
    CosignGet,
    Cursor,
    Event,
    EventOk,
    FeedGet,
    FeedOps,
    Fork,
    Gone,
    Goodbye,
    HashesData,
    HashesGet,
    Heads,
    Held,
    HeldGet,
    Hello,
    KeepAlive,
    LogProof,
    LogProofGet,
    MailboxResult,
    Message,
    News,
    NewsGet,
    Offer,
    Pass,
    PassOk,
    RangeData,
    RangeGet,
    Relayed,
    Result,
    Statements,
    StatementsGet,
    StatusQuery,
    Wanted,
    Withdraw,
)

__all__ = [
    "ENVELOPE",
    "ENVELOPE_ID",
    "MESSAGES",
    "PAYLOAD_ID",
    "SAMPLES",
    "Pair",
    "hello",
]

PAYLOAD_ID = PayloadId(bytes(range(32)))
ENVELOPE = b"an envelope"
ENVELOPE_ID = EnvelopeId(hash_labelled(Label.ENVELOPE, ENVELOPE))


def hello(number: int = 1, **changes: Any) -> Hello:
    """A hello of node `number`."""
    fields: dict[str, Any] = {"heads": (b"a head",), "seen": (), "statement_number": 0, "now_ms": 1_790_000_000_000}
    return Hello(node=NodeId(bytes([number]) * 32), **(fields | changes))


class Pair:
    """A dialler and an acceptor, their hellos exchanged. Bytes go across at once; `now_ms` is the time for both."""

    def __init__(self, **acceptor_hello: Any) -> None:
        self.now_ms = 1_000
        self.dialler = Link(Role.DIALLER, hello(1), self.now_ms)
        self.acceptor = Link(Role.ACCEPTOR, hello(2, **acceptor_hello), self.now_ms)
        assert self.dialler.start() == b""
        (event,) = self.to_dialler(self.acceptor.start())
        assert event == PeerHello(hello(2, **acceptor_hello))
        (event,) = self.to_acceptor(self.dialler.start())
        assert event == PeerHello(hello(1))

    def to_dialler(self, data: bytes) -> list[LinkEvent]:
        """Hand bytes of the acceptor to the dialler."""
        return self.dialler.receive(data, self.now_ms)

    def to_acceptor(self, data: bytes) -> list[LinkEvent]:
        """Hand bytes of the dialler to the acceptor."""
        return self.acceptor.receive(data, self.now_ms)

    def ask(self, message: Message) -> int:
        """Let the dialler ask; the stream."""
        stream, data = self.dialler.request(message)
        assert self.to_acceptor(data) == [Request(stream, message)]
        return stream

    def answer(self, stream: int, message: Message) -> bool:
        """Let the acceptor answer; whether it was the last answer."""
        (event,) = self.to_dialler(self.acceptor.reply(stream, message))
        assert isinstance(event, Reply)
        assert (event.stream, event.message) == (stream, message)
        return event.final


_ids = st.binary(min_size=32, max_size=32)
_envelope_ids = _ids.map(EnvelopeId)
_notes = st.lists(st.binary(min_size=1, max_size=300), max_size=4).map(tuple)
_cursors = st.builds(Cursor, st.binary(min_size=16, max_size=16), st.integers(0, 2**53))
_items = st.lists(st.binary(min_size=1, max_size=300), max_size=5).map(tuple)
_codes = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True)
_times = st.integers(0, 2**62)
_epochs = st.integers(1, 2**31 - 1)
_sizes = st.integers(0, 2**53)
_mailbox_results = st.builds(
    MailboxResult,
    mailbox=st.binary(min_size=16, max_size=16).map(MailboxId),
    status=st.sampled_from(RESULT_STATUSES),
    code=st.just("") | _codes,
    after_ms=st.integers(0, 2**40),
    evidence=st.binary(max_size=300),
)
_some_results = st.lists(_mailbox_results, min_size=1, max_size=4).map(tuple)


def _pieces(kind: Callable[[bytes, bool], Message], full: int, unit: int) -> st.SearchStrategy[Message]:
    rest = st.integers(1, 20).map(lambda count: kind(bytes(count * unit), True))
    return rest | st.booleans().map(lambda last: kind(bytes(full), last))


MESSAGES: dict[type[Message], st.SearchStrategy[Message]] = {
    Hello: st.builds(
        Hello,
        node=_ids.map(NodeId),
        statement_number=st.integers(0, 2**31),
        now_ms=_times,
        heads=_notes,
        seen=_notes,
        max_offers=st.integers(1, 4096),
        max_bytes=st.integers(262_160, 2**31),
        cursor=st.none() | st.builds(Cursor, st.binary(min_size=16, max_size=16), _sizes),
    ),
    Goodbye: st.builds(Goodbye, _codes),
    KeepAlive: st.just(KeepAlive()),
    Offer: st.builds(
        Offer,
        st.sampled_from(LetterClass),
        st.binary(min_size=1, max_size=2000),
        st.none() | st.binary(min_size=17, max_size=2000),
    ),
    Result: st.one_of(
        st.builds(Result, _envelope_ids, _some_results, more=st.booleans()),
        st.builds(Result, _envelope_ids, code=st.just("") | _codes, after_ms=st.integers(0, 2**40)),
    ),
    Wanted: st.builds(Wanted, _envelope_ids),
    StatusQuery: st.builds(StatusQuery, _envelope_ids),
    HashesGet: st.builds(HashesGet, _ids.map(PayloadId)),
    HashesData: _pieces(HashesData, 64_000, 32),
    RangeGet: st.builds(RangeGet, _ids.map(PayloadId), st.integers(0, 8000), st.integers(1, 16)),
    RangeData: _pieces(RangeData, RANGE_PIECE_BYTES, 1),
    Gone: st.builds(Gone, _codes),
    Withdraw: st.builds(Withdraw, st.binary(min_size=1, max_size=2000)),
    Event: st.builds(Event, st.binary(min_size=1, max_size=2000)),
    EventOk: st.just(EventOk()),
    StatementsGet: st.builds(StatementsGet, _ids.map(NodeId), st.integers(0, 512)),
    Statements: st.builds(lambda items, more: Statements(items, more and bool(items)), _items, st.booleans()),
    FeedGet: st.builds(FeedGet, _ids.map(NodeId), _epochs, _sizes),
    FeedOps: st.builds(
        lambda items, head, more: FeedOps(items, head, more and bool(items)),
        _items,
        st.binary(min_size=1, max_size=300),
        st.booleans(),
    ),
    Heads: st.builds(Heads, _notes),
    LogProofGet: st.builds(LogProofGet, _epochs, st.integers(1, 2**53)),
    NewsGet: st.builds(NewsGet, st.none() | _cursors),
    News: st.builds(News, _notes, _cursors, st.booleans()),
    Fork: st.builds(
        lambda first, second, prefix, hashes: Fork(ForkProof(first=first, second=second, prefix=prefix, hashes=hashes)),
        st.binary(min_size=1, max_size=300),
        st.binary(min_size=1, max_size=300),
        st.none() | _ids,
        st.lists(_ids, max_size=54).map(tuple),
    ),
    Relayed: st.builds(Relayed, _envelope_ids, st.binary(min_size=1, max_size=300)),
    Pass: st.builds(
        Pass,
        source=_ids.map(NodeId),
        target=_ids.map(NodeId),
        kind=st.sampled_from([message.TYPE for message in (Result, StatusQuery, Withdraw, Event)]),
        body=st.binary(min_size=1, max_size=300),
    ),
    PassOk: st.just(PassOk()) | st.builds(PassOk, _codes, st.integers(0, 2**40)),
    CosignGet: st.builds(
        CosignGet,
        head=st.binary(min_size=1, max_size=300),
        old_size=_sizes,
        hashes=st.lists(_ids, max_size=54).map(tuple),
    ),
    Cosigned: st.builds(Cosigned, cosignature=st.binary(min_size=72, max_size=72))
    | st.builds(Cosigned, code=_codes, size=_sizes, after_ms=st.integers(0, 2**40)),
    HeldGet: st.builds(HeldGet, _ids.map(NodeId)),
    Held: st.builds(Held, st.lists(st.binary(min_size=1, max_size=300), max_size=3).map(tuple)),
    LogProof: st.builds(LogProof, st.binary(min_size=1, max_size=300), st.lists(_ids, max_size=54).map(tuple)),
}

SAMPLES: dict[type[Message], Message] = {
    Hello: hello(9),
    Goodbye: Goodbye("stopping"),
    KeepAlive: KeepAlive(),
    Offer: Offer(LetterClass.NORMAL, ENVELOPE),
    Result: Result(ENVELOPE_ID),
    Wanted: Wanted(ENVELOPE_ID),
    StatusQuery: StatusQuery(ENVELOPE_ID),
    HashesGet: HashesGet(PAYLOAD_ID),
    HashesData: HashesData(bytes(64), True),
    RangeGet: RangeGet(PAYLOAD_ID, 0, 1),
    RangeData: RangeData(b"the end of a chunk", True),
    Gone: Gone("unknown_payload"),
    Withdraw: Withdraw(b"a box"),
    Event: Event(b"evidence"),
    EventOk: EventOk(),
    StatementsGet: StatementsGet(NodeId(bytes(32)), 0),
    Statements: Statements((b"a statement",), False),
    FeedGet: FeedGet(NodeId(bytes(32)), 1, 0),
    FeedOps: FeedOps((b"an operation",), b"a head", False),
    Heads: Heads((b"a head",)),
    LogProofGet: LogProofGet(1, 7),
    NewsGet: NewsGet(Cursor(bytes(16), 7)),
    News: News((b"a head",), Cursor(bytes(16), 8), more=False),
    LogProof: LogProof(b"a head", (bytes(32),)),
    Fork: Fork(ForkProof(first=b"a head", second=b"another")),
    Relayed: Relayed(ENVELOPE_ID, b"evidence"),
    Pass: Pass.of(StatusQuery(ENVELOPE_ID), source=NodeId(bytes([9]) * 32), target=NodeId(bytes(32))),
    PassOk: PassOk(),
    CosignGet: CosignGet(head=b"a head"),
    Cosigned: Cosigned(code="stale", size=7),
    HeldGet: HeldGet(NodeId(bytes(32))),
    Held: Held((b"a head",)),
}
