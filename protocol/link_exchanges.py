"""The unanswered requests of one side: windows, and which reply fits. Spec: spec/wire.md, 4 and 9.

The same book is kept on both ends of a link, for the requests of either side. Everything here raises
RemoteProtocolError; where our own message broke the rule, link.py turns it into a LocalProtocolError.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from protocol.errors import Reason, RemoteProtocolError
from protocol.ids import EnvelopeId
from protocol.letter import LetterClass
from protocol.link_windows import MAX_UNANSWERED_CONTROL, Window
from protocol.merkle import HASH_BYTES
from protocol.message import Message
from protocol.messages import (
    CIPHERTEXT_CHUNK_BYTES,
    REPLIES,
    HashesData,
    HashesGet,
    Offer,
    RangeData,
    RangeGet,
    Relayed,
    Result,
    StatusQuery,
    Wanted,
    Withdraw,
)
from protocol.messages_payload import MAX_CHUNKS
from protocol.slip import MAX_SLIP_RECIPIENTS

__all__ = ["Exchanges"]

_MAX_HASHES_BYTES: Final = MAX_CHUNKS * HASH_BYTES


@dataclass(slots=True)
class _Exchange:
    """A request under way.

    envelope_id: what its results must name; None where the request does not tell (a withdrawal's is sealed).
    left: bytes or mailboxes that its replies may still bring.
    """

    request: type[Message]
    letter_class: LetterClass
    envelope_id: EnvelopeId | None
    left: int


class Exchanges:
    """Requests of one side that the other has not fully answered, and results that it has promised.

    max_offers, max_bytes: the windows that the answering side stated.
    """

    __slots__ = ("_control", "_open", "_promised", "bytes", "offers")

    def __init__(self, *, max_offers: int, max_bytes: int) -> None:
        self.offers = Window(max_offers, 1)
        self.bytes = Window(max_bytes, CIPHERTEXT_CHUNK_BYTES)
        self._control = 0
        self._open: dict[int, _Exchange] = {}
        self._promised: dict[EnvelopeId, list[int]] = {}

    def __len__(self) -> int:
        return len(self._open)

    @property
    def has_control_room(self) -> bool:
        """Whether one more request that is neither an offer nor a range may be made."""
        return self._control < MAX_UNANSWERED_CONTROL

    def check_room(self, request: type[Message], stream: int) -> None:
        """What can be said of a request before its body is read. RemoteProtocolError: wrong_state, overload."""
        if stream in self._open:
            raise RemoteProtocolError(Reason.WRONG_STATE, f"stream {stream} has an unanswered request")
        if request is Offer:
            has_room = not self.offers.is_full
        elif request is RangeGet:
            has_room = not self.bytes.is_full
        else:
            has_room = self.has_control_room
        if not has_room:
            raise RemoteProtocolError(Reason.OVERLOAD, f"more unanswered than allowed: {request.__name__}")

    def open(self, stream: int, message: Message, letter_class: LetterClass) -> None:
        """Enter a request after `check_room`. RemoteProtocolError(overload) for a range beyond the window."""
        envelope_id, left = None, 0
        match message:
            case Offer():
                envelope_id, left = message.envelope_id, MAX_SLIP_RECIPIENTS
                self.offers.take(letter_class, 1)
            case RangeGet():
                left = message.max_data_bytes
                self.bytes.take(letter_class, left)
                if self.bytes.is_exceeded_by(left):
                    raise RemoteProtocolError(Reason.OVERLOAD, f"{left} bytes asked for beyond the window")
            case StatusQuery():
                envelope_id, left = message.envelope_id, MAX_SLIP_RECIPIENTS
                self._control += 1
            case Withdraw():
                left = MAX_SLIP_RECIPIENTS
                self._control += 1
            case HashesGet():
                left = _MAX_HASHES_BYTES
                self._control += 1
            case _:
                self._control += 1
        self._open[stream] = _Exchange(type(message), letter_class, envelope_id, left)

    def check_reply(self, stream: int, reply: type[Message]) -> None:
        """What can be said of a reply before its body is read. RemoteProtocolError(wrong_state)."""
        exchange = self._open.get(stream)
        if exchange is None:
            raise RemoteProtocolError(Reason.WRONG_STATE, f"nothing was asked on stream {stream}")
        if reply not in REPLIES[exchange.request]:
            raise RemoteProtocolError(Reason.WRONG_STATE, f"{reply.__name__} answers no {exchange.request.__name__}")

    def answer(self, stream: int, reply: Message) -> bool:
        """Count a reply for which `check_reply` was asked; whether it is the last.

        RemoteProtocolError: mismatch (names another envelope), overload (more than was asked for).
        """
        exchange = self._open[stream]
        match reply:
            case Relayed():
                self._check_envelope(exchange, reply.envelope_id)
                final = True
            case Wanted(envelope_id):
                self._check_envelope(exchange, envelope_id)
                # An envelope may be offered twice, and is then promised twice.
                self._promised.setdefault(envelope_id, []).append(MAX_SLIP_RECIPIENTS)
                final = True
            case Result():
                self._check_envelope(exchange, reply.envelope_id)
                exchange.left = self._less(exchange.left, len(reply.results))
                final = not reply.more
            case RangeData(data, final):
                exchange.left = self._less(exchange.left, len(data))
                self.bytes.give_back(exchange.letter_class, len(data))
            case HashesData(data, final):
                exchange.left = self._less(exchange.left, len(data))
            case _:
                final = True
        if final:
            self._close(stream)
        return final

    def push_result(self, result: Result | Relayed) -> None:
        """Count results, or custody, that a Wanted promised. RemoteProtocolError: wrong_state, overload."""
        promises = self._promised.get(result.envelope_id)
        if promises is None:
            raise RemoteProtocolError(Reason.WRONG_STATE, f"no result of {result.envelope_id.text} is awaited")
        more = False
        if isinstance(result, Result):
            promises[0] = self._less(promises[0], len(result.results))
            more = result.more
        if not more:
            del promises[0]
            if not promises:
                del self._promised[result.envelope_id]

    @staticmethod
    def _check_envelope(exchange: _Exchange, envelope_id: EnvelopeId) -> None:
        if exchange.envelope_id not in (None, envelope_id):
            raise RemoteProtocolError(Reason.MISMATCH, f"a reply about envelope {envelope_id.text}")

    @staticmethod
    def _less(left: int, amount: int) -> int:
        if amount > left:
            raise RemoteProtocolError(Reason.OVERLOAD, "more in the replies than was asked for")
        return left - amount

    def _close(self, stream: int) -> None:
        exchange = self._open.pop(stream)
        if exchange.request is Offer:
            self.offers.give_back(exchange.letter_class, 1)
        elif exchange.request is RangeGet:
            # The last chunk of a payload may be shorter than asked for, and a Gone ends a range early.
            self.bytes.give_back(exchange.letter_class, exchange.left)
        else:
            self._control -= 1
