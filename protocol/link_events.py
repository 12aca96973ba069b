"""What the link machine tells its driver. Spec: spec/wire.md, 5."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.message import Message
from protocol.messages import Hello

__all__ = ["LinkEvent", "PeerGoodbye", "PeerHello", "Push", "Reply", "Request"]


@dataclass(frozen=True, slots=True)
class PeerHello:
    """The peer's hello. The dialling side sends its own now: `start()`."""

    hello: Hello


@dataclass(frozen=True, slots=True)
class Request:
    """A request of the peer, to be answered on its stream by `reply`."""

    stream: int
    message: Message


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply to our request on this stream. final: no more come on it."""

    stream: int
    message: Message
    final: bool


@dataclass(frozen=True, slots=True)
class Push:
    """A message that wants no answer."""

    message: Message


@dataclass(frozen=True, slots=True)
class PeerGoodbye:
    """The peer has said its last word; what it asked may still be answered before our own goodbye."""

    code: str


LinkEvent = PeerHello | Request | Reply | Push | PeerGoodbye
