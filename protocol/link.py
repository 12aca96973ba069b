"""The link state machine, sans-IO: frames in, events out; time is an argument. Spec: spec/wire.md, 5 and 8.

States, and what is legal in each:

  state        we may send                 the peer may send
  WAIT_HELLO   (acceptor: its hello)       hello
  OPEN         everything but hello        everything but hello
  LEAVING      replies, goodbye was sent   everything but hello; goodbye or the end of the stream ends the link
  CLOSED       nothing                     nothing

The accepting side speaks first: a TLS 1.3 client believes itself connected before it is refused, so the dialling side
sends nothing before it has read the acceptor's hello. There are no credits: every bulk frame answers a request, within
the windows stated in hello; who asks for more than the other side stated is cut off (OVERLOAD).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.frames import FrameReader, encode_frame
from protocol.letter import LetterClass
from protocol.messages import (
    Event,
    EventOk,
    Gone,
    Goodbye,
    HashesData,
    HashesGet,
    Hello,
    Message,
    Offer,
    Ping,
    Pong,
    RangeData,
    RangeGet,
    Result,
    StatusQuery,
    Wanted,
    Withdraw,
)
from protocol.messages_directory import FeedGet, FeedOps, Heads, Statements, StatementsGet
from protocol.payload import CHUNK_BYTES, TAG_BYTES

__all__ = [
    "KEEP_ALIVE_MS",
    "MAX_UNANSWERED_CONTROL",
    "SILENT_MS",
    "Link",
    "LinkEvent",
    "LinkState",
    "PeerGoodbye",
    "PeerHello",
    "Push",
    "Reply",
    "Request",
    "Role",
]

KEEP_ALIVE_MS: Final = 60_000
SILENT_MS: Final = 90_000
# Requests other than offers and ranges that may be unanswered; who sends more does not read our answers.
MAX_UNANSWERED_CONTROL: Final = 256
# From this type number on, unknown types are optional extensions and are passed over.
OPTIONAL_TYPES: Final = 128
_MAX_STREAM: Final = 2**32 - 3
_CHUNK: Final = CHUNK_BYTES + TAG_BYTES

_REPLIES: Final[dict[type[Message], tuple[type[Message], ...]]] = {
    Offer: (Result, Wanted),
    StatusQuery: (Result,),
    Withdraw: (Result,),
    HashesGet: (HashesData, Gone),
    RangeGet: (RangeData, Gone),
    Event: (EventOk,),
    StatementsGet: (Statements, Gone),
    FeedGet: (FeedOps, Gone),
}
_PUSHES: Final = (Result, Heads)
_TYPES: Final[dict[int, type[Message]]] = {
    item.TYPE: item
    for item in (
        *_REPLIES,
        *(reply for replies in _REPLIES.values() for reply in replies),
        *_PUSHES,
        Hello,
        Goodbye,
        Ping,
        Pong,
    )
}


class Role(Enum):
    """Who opened the connection. Dialler's requests have odd streams, acceptor's even ones."""

    DIALLER = 1
    ACCEPTOR = 2


class LinkState(Enum):
    """See the table at the top."""

    WAIT_HELLO = "wait_hello"
    OPEN = "open"
    LEAVING = "leaving"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class PeerHello:
    """The peer's hello; the link is open."""

    hello: Hello


@dataclass(frozen=True, slots=True)
class Request:
    """A request of the peer, to be answered on its stream."""

    stream: int
    message: Message


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply to a request of ours."""

    stream: int
    message: Message
    final: bool


@dataclass(frozen=True, slots=True)
class Push:
    """A message that wants no answer."""

    message: Message


@dataclass(frozen=True, slots=True)
class PeerGoodbye:
    """The peer ends the link."""

    code: str


LinkEvent = PeerHello | Request | Reply | Push | PeerGoodbye


def _is_final(reply: Message) -> bool:
    match reply:
        case Result():
            return not reply.more
        case HashesData() | RangeData():
            return reply.last
        case _:
            return True


def _cost(request: Message) -> int:
    """Payload bytes that a request asks for."""
    return request.count * _CHUNK if isinstance(request, RangeGet) else 0


class _Side:
    """The unanswered requests of one side."""

    def __init__(self) -> None:
        self.open: dict[int, Message] = {}
        self.offers = 0
        self.data_bytes = 0
        self.control = 0

    def add(self, stream: int, request: Message) -> None:
        self.open[stream] = request
        self._count(request, 1)

    def remove(self, stream: int) -> None:
        self._count(self.open.pop(stream), -1)

    def _count(self, request: Message, sign: int) -> None:
        if isinstance(request, Offer):
            self.offers += sign
        elif isinstance(request, RangeGet):
            self.data_bytes += sign * _cost(request)
        else:
            self.control += sign


class Link:
    """One side of a link.

    Feed received bytes to `receive`, send what the other methods return. After a RemoteProtocolError send
    `goodbye(error.reason)` if that is still possible and close.
    """

    def __init__(self, role: Role, hello: Hello, now_ms: int) -> None:
        self.role = role
        self.state = LinkState.WAIT_HELLO
        self.peer_hello: Hello | None = None
        self._hello = hello
        self._hello_sent = False
        self._reader = FrameReader()
        self._ours = _Side()
        self._theirs = _Side()
        self._next_stream = 1 if role is Role.DIALLER else 2
        self._last_heard_ms = now_ms
        self._last_ping_ms = now_ms
        self._pongs_due = 0

    # -- sending

    def start(self) -> bytes:
        """Our hello when it is due (acceptor: at once; dialler: after the peer's), else nothing."""
        if self._hello_sent or (self.role is Role.DIALLER and self.peer_hello is None):
            return b""
        self._hello_sent = True
        return encode_frame(Hello.TYPE, 0, self._hello.encode())

    def _refuse_unless(self, *states: LinkState) -> None:
        if self.state not in states or not self._hello_sent:
            raise LocalProtocolError(f"not to be sent while the link is {self.state.value}")

    def request(self, message: Message) -> tuple[int, bytes]:
        """Ask the peer something: the stream on which replies come, and the bytes. Check the windows first."""
        self._refuse_unless(LinkState.OPEN)
        if type(message) not in _REPLIES:
            raise LocalProtocolError(f"{type(message).__name__} is no request")
        if isinstance(message, Offer) and not self.can_offer(message.letter_class):
            raise LocalProtocolError("the peer takes no more offers now")
        if isinstance(message, RangeGet) and not self.can_request_bytes(message.count * _CHUNK):
            raise LocalProtocolError("the peer sends no more payload data now")
        if self._next_stream > _MAX_STREAM:
            raise LocalProtocolError("the link has used up its streams")
        stream = self._next_stream
        self._next_stream += 2
        data = encode_frame(message.TYPE, stream, message.encode())
        self._ours.add(stream, message)
        return stream, data

    def reply(self, stream: int, message: Message) -> bytes:
        """Answer a request of the peer, once, or several times up to the last for data and long results."""
        self._refuse_unless(LinkState.OPEN, LinkState.LEAVING)
        request = self._theirs.open.get(stream)
        if request is None or not isinstance(message, _REPLIES[type(request)]):
            raise LocalProtocolError(f"{type(message).__name__} answers nothing on stream {stream}")
        data = encode_frame(message.TYPE, stream, message.encode())
        if _is_final(message):
            self._theirs.remove(stream)
        return data

    def push(self, message: Message) -> bytes:
        """Tell the peer something that wants no answer."""
        self._refuse_unless(LinkState.OPEN)
        if not isinstance(message, _PUSHES):
            raise LocalProtocolError(f"{type(message).__name__} is no push")
        return encode_frame(message.TYPE, 0, message.encode())

    def goodbye(self, code: str) -> bytes:
        """End the link in good order; nothing is asked or pushed after it. Nothing if there is no one to say it to."""
        if self.state is LinkState.CLOSED or not self._hello_sent:
            self.state = LinkState.CLOSED
            return b""
        if self.state is LinkState.LEAVING:
            return b""
        self.state = LinkState.LEAVING
        return encode_frame(Goodbye.TYPE, 0, Goodbye(code).encode())

    # -- windows

    def can_offer(self, letter_class: LetterClass) -> bool:
        """Whether the peer takes one more offer: a quarter of its window is kept for urgent letters."""
        if self.state is not LinkState.OPEN or self.peer_hello is None:
            return False
        window = self.peer_hello.max_offers
        limit = window if letter_class is LetterClass.URGENT else max(1, window - window // 4)
        return self._ours.offers < limit

    def can_request_bytes(self, count: int) -> bool:
        """Whether `count` more payload bytes may be asked for; one request always may."""
        if self.state is not LinkState.OPEN or self.peer_hello is None:
            return False
        return not self._ours.data_bytes or self._ours.data_bytes + count <= self.peer_hello.max_bytes

    @property
    def unanswered(self) -> int:
        """Requests of the peer that we have not answered."""
        return len(self._theirs.open)

    # -- receiving

    def receive(self, data: bytes, now_ms: int) -> list[LinkEvent]:
        """Take received bytes. RemoteProtocolError ends the link: say goodbye with its reason and close."""
        if self.state is LinkState.CLOSED:
            raise RemoteProtocolError(Reason.WRONG_STATE, "bytes after the end")
        self._last_heard_ms = now_ms
        events: list[LinkEvent] = []
        for frame in self._reader.feed(data):
            if self.state is LinkState.CLOSED:
                raise RemoteProtocolError(Reason.WRONG_STATE, "a frame after goodbye")
            kind = _TYPES.get(frame.type)
            if kind is None:
                if frame.type < OPTIONAL_TYPES or self.peer_hello is None:
                    raise RemoteProtocolError(Reason.MALFORMED, f"unknown frame type {frame.type}")
                continue
            event = self._take(kind, frame.stream, frame.body)
            if event is not None:
                events.append(event)
        return events

    def _take(self, kind: type[Message], stream: int, body: bytes) -> LinkEvent | None:
        if (kind is Hello) != (self.peer_hello is None):
            raise RemoteProtocolError(Reason.WRONG_STATE, f"{kind.__name__} where it is not allowed")
        message = kind.decode(body)
        if stream:
            return self._take_on_stream(stream, message)
        match message:
            case Hello():
                self.peer_hello = message
                self.state = LinkState.OPEN if self.state is LinkState.WAIT_HELLO else self.state
                return PeerHello(message)
            case Goodbye():
                self.state = LinkState.CLOSED if self.state is LinkState.LEAVING else LinkState.LEAVING
                return PeerGoodbye(message.code)
            case Ping():
                self._pongs_due += 1
                return None
            case Pong():
                return None
            case _ if isinstance(message, _PUSHES):
                return Push(message)
            case _:
                raise RemoteProtocolError(Reason.WRONG_STATE, f"{kind.__name__} on stream 0")

    def _take_on_stream(self, stream: int, message: Message) -> LinkEvent | None:
        by_us = stream % 2 == (1 if self.role is Role.DIALLER else 0)
        if by_us:
            request = self._ours.open.get(stream)
            if request is None or not isinstance(message, _REPLIES[type(request)]):
                raise RemoteProtocolError(Reason.WRONG_STATE, f"{type(message).__name__} answers nothing")
            final = _is_final(message)
            if final:
                self._ours.remove(stream)
            return Reply(stream, message, final)
        if type(message) not in _REPLIES or stream in self._theirs.open:
            raise RemoteProtocolError(Reason.WRONG_STATE, f"{type(message).__name__} asks nothing")
        self._theirs.add(stream, message)
        side = self._theirs
        if (
            side.offers > self._hello.max_offers
            or side.control > MAX_UNANSWERED_CONTROL
            or (side.data_bytes > self._hello.max_bytes and side.data_bytes > _cost(message))
        ):
            raise RemoteProtocolError(Reason.OVERLOAD, "more asked at once than stated in hello")
        return Request(stream, message)

    def due(self) -> bytes:
        """What the machine itself has to answer after `receive`: pongs, at most one for a read."""
        pongs, self._pongs_due = self._pongs_due, 0
        return encode_frame(Pong.TYPE, 0, b"") if pongs and self.state is LinkState.OPEN else b""

    def received_eof(self) -> None:
        """The stream ended. RemoteProtocolError(wrong_state) unless goodbye was said by the peer: the link was cut."""
        left, self.state = self.state, LinkState.CLOSED
        if left not in (LinkState.LEAVING, LinkState.CLOSED):
            raise RemoteProtocolError(Reason.WRONG_STATE, "the stream ended without goodbye")

    # -- time

    @property
    def next_wakeup_ms(self) -> int:
        """When `handle_wakeup` wants to be called."""
        heard = self._last_heard_ms
        if self._last_ping_ms < heard + KEEP_ALIVE_MS:
            return heard + KEEP_ALIVE_MS
        return heard + SILENT_MS

    def handle_wakeup(self, now_ms: int) -> bytes:
        """A ping if the peer was silent for 60 s; RemoteProtocolError(silent) after 90 s."""
        silence = now_ms - self._last_heard_ms
        if silence >= SILENT_MS:
            raise RemoteProtocolError(Reason.SILENT, f"nothing heard for {silence} ms")
        if silence < KEEP_ALIVE_MS or self._last_ping_ms >= self._last_heard_ms + KEEP_ALIVE_MS:
            return b""
        self._last_ping_ms = now_ms
        return encode_frame(Ping.TYPE, 0, b"") if self.state is LinkState.OPEN else b""
