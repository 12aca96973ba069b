"""The link machine, sans-IO: bytes in, events out; what it returns is to be sent. Spec: spec/wire.md, 5, 9 and 10.

The tables of what is legal when are in link_states.py, windows and replies in link_exchanges.py; here they are joined
with frames and time. Why no link can stand still:

- The machine never holds a frame back: it answers a call with bytes at once, or refuses the call. Only requests have
  windows; replies, pushes, keep-alives and goodbyes are always taken.
- Nothing that is received has to wait for something sent: `receive` returns no bytes. Who drives it reads on whether or
  not its own bytes leave.
- A reply never waits for another exchange, so both sides may ask as much as the windows allow, at the same time.
- No part of a window that is kept for a class can keep that class, or all of them, from ever asking (link_windows.py).
"""

from __future__ import annotations

from typing import Final

from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.frames import Frame, FrameReader
from protocol.letter import LetterClass
from protocol.link_events import LinkEvent, PeerGoodbye, PeerHello, Push, Reply, Request
from protocol.link_exchanges import Exchanges
from protocol.link_states import FrameKind, HalfState, Role, kind_of, may_receive, may_send
from protocol.link_windows import MAX_UNANSWERED_CONTROL
from protocol.message import Message
from protocol.messages import (
    MESSAGE_TYPES,
    OPTIONAL_TYPES,
    PUSHES,
    REPLIES,
    Goodbye,
    Hello,
    KeepAlive,
    Offer,
    RangeGet,
    Relayed,
    Result,
)

__all__ = [
    "KEEP_ALIVE_MS",
    "MAX_UNANSWERED_CONTROL",
    "NEVER_MS",
    "SILENT_MS",
    "HalfState",
    "Link",
    "LinkEvent",
    "PeerGoodbye",
    "PeerHello",
    "Push",
    "Reply",
    "Request",
    "Role",
]

# Shorter than the idle timeouts of the firewalls and address translators between institutions.
KEEP_ALIVE_MS: Final = 60_000
# A keep-alive may be half a minute late. More, and the peer is taken for gone; what waits for it is for the next link.
SILENT_MS: Final = 90_000
NEVER_MS: Final = 2**63 - 1
_MAX_STREAM: Final = 2**32 - 1


class Link:
    """One side of a link. Feed received bytes to `receive`, send what the other methods return, in that order.

    The frames of one stream keep their order, and goodbye leaves last; otherwise the driver may let urgent frames pass.
    now_ms: a clock that never goes back, in milliseconds from any beginning. After a RemoteProtocolError send
    `goodbye(error.reason)` and close.
    """

    def __init__(self, role: Role, hello: Hello, now_ms: int) -> None:
        self.role = role
        self.peer_hello: Hello | None = None
        self._hello = hello
        self._own_half = HalfState.SILENT
        self._peer_half = HalfState.SILENT
        self._may_send = may_send(role, self._own_half, self._peer_half)
        self._may_receive = may_receive(role, self._own_half, self._peer_half)
        self._reader = FrameReader()
        self._ours = Exchanges(max_offers=0, max_bytes=0)
        self._theirs = Exchanges(max_offers=hello.max_offers, max_bytes=hello.max_bytes)
        self._next_stream = 2 - role.stream_parity
        self._now_ms = self._last_heard_ms = self._last_sent_ms = now_ms

    @property
    def own_half(self) -> HalfState:
        """What we have said."""
        return self._own_half

    @property
    def peer_half(self) -> HalfState:
        """What the peer has said."""
        return self._peer_half

    def _enter(self, *, own: HalfState | None = None, peer: HalfState | None = None) -> None:
        self._own_half = own or self._own_half
        self._peer_half = peer or self._peer_half
        self._may_send = may_send(self.role, self._own_half, self._peer_half)
        self._may_receive = may_receive(self.role, self._own_half, self._peer_half)

    # -- sending

    def start(self) -> bytes:
        """Our hello if it is due (acceptor: at once; dialler: after the peer's), else nothing."""
        if FrameKind.HELLO not in self._may_send:
            return b""
        data = self._send(self._hello, 0)
        self._enter(own=HalfState.SPEAKING)
        return data

    def request(self, message: Message, letter_class: LetterClass = LetterClass.NORMAL) -> tuple[int, bytes]:
        """Ask the peer something: the stream on which replies come, and the bytes.

        letter_class: whose part of the window a range counts in; an offer has its own. LocalProtocolError if the link
        is not open or the window is full: ask `can_offer`, `can_request_bytes` or `can_request_control` first.
        """
        if FrameKind.REQUEST not in self._may_send:
            raise LocalProtocolError("the link is not open")
        if type(message) not in REPLIES:
            raise LocalProtocolError(f"{type(message).__name__} is no request")
        match message:
            case Offer():
                letter_class = message.letter_class
                has_room = self._ours.offers.has_room(letter_class, 1)
            case RangeGet():
                has_room = self._ours.bytes.has_room(letter_class, message.max_data_bytes)
            case _:
                has_room = self._ours.has_control_room
        stream = self._next_stream
        if not has_room or stream > _MAX_STREAM:
            raise LocalProtocolError("the peer takes no more requests of this sort now")
        data = self._send(message, stream)
        self._next_stream += 2
        self._ours.open(stream, message, letter_class)
        return stream, data

    def reply(self, stream: int, message: Message) -> bytes:
        """Answer a request of the peer: once, or for data and long results up to the last.

        Nothing after our goodbye: the peer will ask again on the next link. LocalProtocolError if it answers nothing.
        """
        if self._own_half is HalfState.DONE:
            return b""
        try:
            self._theirs.check_reply(stream, type(message))
            data = self._send(message, stream)
            self._theirs.answer(stream, message)
        except RemoteProtocolError as error:
            raise LocalProtocolError(error.detail) from error
        return data

    def push(self, message: Message) -> bytes:
        """Tell the peer something that wants no answer: heads, or the result of an envelope answered by Wanted.

        Nothing after our goodbye. LocalProtocolError before the hellos, and for a result that was not promised.
        """
        if self._own_half is HalfState.DONE:
            return b""
        if FrameKind.PUSH not in self._may_send or type(message) not in PUSHES:
            raise LocalProtocolError(f"{type(message).__name__} is not to be pushed now")
        data = self._send(message, 0)
        if isinstance(message, Result | Relayed):
            try:
                self._theirs.push_result(message)
            except RemoteProtocolError as error:
                raise LocalProtocolError(error.detail) from error
        return data

    def goodbye(self, code: str) -> bytes:
        """Our last frame. Nothing the second time, and where the peer could not hear it."""
        legal = FrameKind.GOODBYE in self._may_send
        data = self._send(Goodbye(code), 0) if legal else b""
        self._enter(own=HalfState.DONE)
        return data

    def _send(self, message: Message, stream: int) -> bytes:
        # The time of the last call that told it: never later than now, so a keep-alive comes early rather than late.
        self._last_sent_ms = self._now_ms
        return message.frame(stream)

    # -- windows

    def can_offer(self, letter_class: LetterClass) -> bool:
        """Whether the peer takes one more offer of this class now."""
        return FrameKind.REQUEST in self._may_send and self._ours.offers.has_room(letter_class, 1)

    def can_request_bytes(self, count: int, letter_class: LetterClass = LetterClass.NORMAL) -> bool:
        """Whether a range of `count` payload bytes may be asked for now, for a letter of this class."""
        return FrameKind.REQUEST in self._may_send and self._ours.bytes.has_room(letter_class, count)

    def can_request_control(self) -> bool:
        """Whether any other request may be made now."""
        return FrameKind.REQUEST in self._may_send and self._ours.has_control_room

    @property
    def unanswered(self) -> int:
        """Requests of the peer that we have not fully answered."""
        return len(self._theirs)

    # -- receiving

    def receive(self, data: bytes, now_ms: int) -> list[LinkEvent]:
        """Take received bytes, 0 or more, cut anyhow.

        RemoteProtocolError: the link is over, and what came in the same bytes before the fault is dropped with it; no
        promise is lost, because whatever was not answered is asked again on the next link.
        """
        self._hear(now_ms)
        events: list[LinkEvent] = []
        try:
            if data and self._peer_half is HalfState.DONE:
                raise RemoteProtocolError(Reason.WRONG_STATE, "bytes after the end")
            for frame in self._reader.feed(data):
                event = self._take(frame)
                if event is not None:
                    events.append(event)
            if self._peer_half is HalfState.DONE and not self._reader.is_empty:
                raise RemoteProtocolError(Reason.WRONG_STATE, "bytes after goodbye")
        except RemoteProtocolError:
            self._enter(peer=HalfState.DONE)
            raise
        return events

    def _hear(self, now_ms: int) -> None:
        self._now_ms = self._last_heard_ms = now_ms

    def _take(self, frame: Frame) -> LinkEvent | None:
        message_type, stream = MESSAGE_TYPES.get(frame.type), frame.stream
        if message_type is None:
            self._pass_over(frame.type)
            return None
        kind = kind_of(message_type, stream, opener=stream % 2 != self.role.stream_parity)
        if kind is None or kind not in self._may_receive:
            name = message_type.__name__
            raise RemoteProtocolError(Reason.WRONG_STATE, f"{name} on stream {stream}, peer {self._peer_half.value}")
        match kind:
            case FrameKind.HELLO:
                self.peer_hello = hello = Hello.decode(frame.body)
                self._ours = Exchanges(max_offers=hello.max_offers, max_bytes=hello.max_bytes)
                self._enter(peer=HalfState.SPEAKING)
                return PeerHello(hello)
            case FrameKind.GOODBYE:
                code = Goodbye.decode(frame.body).code
                self._enter(peer=HalfState.DONE)
                return PeerGoodbye(code)
            case FrameKind.KEEP_ALIVE:
                KeepAlive.decode(frame.body)
                return None
            case FrameKind.PUSH:
                message = message_type.decode(frame.body)
                if isinstance(message, Result | Relayed):
                    self._ours.push_result(message)
                return Push(message)
            case FrameKind.REQUEST:
                self._theirs.check_room(message_type, stream)
                message = message_type.decode(frame.body)
                self._theirs.open(stream, message, LetterClass.NORMAL)
                # It crossed our goodbye: it cannot be answered any more.
                return Request(stream, message) if self._own_half is not HalfState.DONE else None
        # What is left is a reply.
        self._ours.check_reply(stream, message_type)
        message = message_type.decode(frame.body)
        return Reply(stream, message, self._ours.answer(stream, message))

    def _pass_over(self, frame_type: int) -> None:
        if frame_type < OPTIONAL_TYPES:
            raise RemoteProtocolError(Reason.MALFORMED, f"unknown frame type {frame_type}")
        if FrameKind.KEEP_ALIVE not in self._may_receive:
            raise RemoteProtocolError(Reason.WRONG_STATE, "an extension's frame outside the hellos and goodbyes")

    def received_eof(self, now_ms: int) -> None:
        """The stream ended. RemoteProtocolError(wrong_state) unless either side had said goodbye: the link was cut."""
        self._hear(now_ms)
        is_calm = HalfState.DONE in (self._own_half, self._peer_half)
        self._enter(own=HalfState.DONE, peer=HalfState.DONE)
        if not is_calm:
            raise RemoteProtocolError(Reason.WRONG_STATE, "the stream ended without goodbye")

    # -- time

    def next_wakeup_ms(self) -> int:
        """When `handle_wakeup` is to be called; NEVER_MS if not at all. Ask again after each call of the machine."""
        times = [NEVER_MS]
        if self._peer_half is not HalfState.DONE:
            times.append(self._last_heard_ms + SILENT_MS)
        if FrameKind.KEEP_ALIVE in self._may_send:
            times.append(self._last_sent_ms + KEEP_ALIVE_MS)
        return min(times)

    def handle_wakeup(self, now_ms: int) -> bytes:
        """A keep-alive if we have said nothing for 60 s. RemoteProtocolError(silent) if the peer has not for 90 s."""
        self._now_ms = now_ms
        silence = now_ms - self._last_heard_ms
        if self._peer_half is not HalfState.DONE and silence >= SILENT_MS:
            self._enter(peer=HalfState.DONE)
            raise RemoteProtocolError(Reason.SILENT, f"nothing heard for {silence} ms")
        if FrameKind.KEEP_ALIVE in self._may_send and now_ms - self._last_sent_ms >= KEEP_ALIVE_MS:
            return self._send(KeepAlive(), 0)
        return b""
