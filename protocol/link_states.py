"""Which frame is legal when: the two halves of a link and their tables. Spec: spec/wire.md, 5.

A link has two halves, what we say and what the peer says. Each is SILENT until its hello, SPEAKING after it and DONE
after its goodbye; the tables below hold all nine pairs. Only the first pair depends on the role: the accepting side
speaks first, because a TLS 1.3 client believes itself connected before the server has refused it.
"""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType
from typing import Final

from protocol.message import Message
from protocol.messages import PUSHES, REPLIES, Goodbye, Hello, KeepAlive

__all__ = ["FrameKind", "HalfState", "Role", "kind_of", "may_receive", "may_send"]


class Role(Enum):
    """Who opened the connection. The dialler's requests have odd streams, the acceptor's even ones."""

    DIALLER = 1
    ACCEPTOR = 0

    @property
    def stream_parity(self) -> int:
        """The lowest bit of the streams that this side opens."""
        return self.value


class HalfState(Enum):
    """What one side has said so far."""

    SILENT = "silent"
    """Nothing yet."""
    SPEAKING = "speaking"
    """Its hello."""
    DONE = "done"
    """Its goodbye, or its end of the stream: nothing more comes."""


class FrameKind(Enum):
    """What a frame is for the tables."""

    HELLO = "hello"
    GOODBYE = "goodbye"
    KEEP_ALIVE = "keep_alive"
    PUSH = "push"
    REQUEST = "request"
    REPLY = "reply"


_K = FrameKind
_S, _T, _D = HalfState.SILENT, HalfState.SPEAKING, HalfState.DONE
_NOTHING: Final = frozenset[FrameKind]()
_FIRST: Final = frozenset({_K.HELLO, _K.GOODBYE})
_GOODBYE: Final = frozenset({_K.GOODBYE})
_ALL: Final = frozenset({_K.KEEP_ALIVE, _K.PUSH, _K.REQUEST, _K.REPLY, _K.GOODBYE})
_LAST_WORDS: Final = frozenset({_K.PUSH, _K.REPLY, _K.GOODBYE})

# (ours, theirs): what we may send. The pair (silent, silent) is the acceptor's; the dialler waits.
_SEND: Final = MappingProxyType(
    {
        (_S, _S): _FIRST,
        (_S, _T): _FIRST,
        # Its first frame was its goodbye, or none that we can read: it may be told why we leave.
        (_S, _D): _GOODBYE,
        (_T, _S): _GOODBYE,
        (_T, _T): _ALL,
        # The peer still reads what it asked for before it said goodbye.
        (_T, _D): _LAST_WORDS,
        (_D, _S): _NOTHING,
        (_D, _T): _NOTHING,
        (_D, _D): _NOTHING,
    }
)
# (ours, theirs): what the peer may send. The pair (silent, silent) is the dialler's; who dials must not speak first.
_RECEIVE: Final = MappingProxyType(
    {
        (_S, _S): _FIRST,
        # The peer has not read our hello: it can only take its own back.
        (_S, _T): _GOODBYE,
        (_S, _D): _NOTHING,
        (_T, _S): _FIRST,
        (_T, _T): _ALL,
        (_T, _D): _NOTHING,
        # Our goodbye may cross whatever the peer sent before it read it.
        (_D, _S): _FIRST,
        (_D, _T): _ALL,
        (_D, _D): _NOTHING,
    }
)


def may_send(role: Role, ours: HalfState, theirs: HalfState) -> frozenset[FrameKind]:
    """The kinds of frames that we may send."""
    return _NOTHING if (role, ours, theirs) == (Role.DIALLER, _S, _S) else _SEND[ours, theirs]


def may_receive(role: Role, ours: HalfState, theirs: HalfState) -> frozenset[FrameKind]:
    """The kinds of frames that the peer may send."""
    return _NOTHING if (role, ours, theirs) == (Role.ACCEPTOR, _S, _S) else _RECEIVE[ours, theirs]


_ON_STREAM_0: Final = MappingProxyType[type[Message], FrameKind](
    {
        Hello: _K.HELLO,
        Goodbye: _K.GOODBYE,
        KeepAlive: _K.KEEP_ALIVE,
        **dict.fromkeys(PUSHES, _K.PUSH),
    }
)
_ANSWERS: Final = frozenset(reply for replies in REPLIES.values() for reply in replies)


def kind_of(message: type[Message], stream: int, *, opener: bool) -> FrameKind | None:
    """What a frame is; None if this message has no place on this stream.

    opener: whether the stream is one of those that the frame's sender opens.
    """
    if stream == 0:
        return _ON_STREAM_0.get(message)
    if opener:
        return _K.REQUEST if message in REPLIES else None
    return _K.REPLY if message in _ANSWERS else None
