"""Messages of the relay: custody, and what is passed on between two nodes. Spec: spec/relay.md, 3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Self

from protocol.codec import FieldReader, Value
from protocol.errors import Reason, RemoteProtocolError
from protocol.evidence import MAX_EVIDENCE_BYTES
from protocol.ids import EnvelopeId, NodeId
from protocol.message import MapMessage, check_own_code, read_code
from protocol.messages_mail import Event, Result, StatusQuery, Withdraw

__all__ = ["MAX_PASSED_BYTES", "PASSED_TYPES", "Pass", "PassOk", "Relayed"]

MAX_PASSED_BYTES: Final = 60_000
"""Of the body of a passed message: with the two ids around it, one frame."""
_MAX_AFTER_MS: Final = 2**40

Passed = Result | StatusQuery | Withdraw | Event
PASSED_TYPES: Final = {message.TYPE: message for message in (Result, StatusQuery, Withdraw, Event)}
"""What may be passed on, by frame type: nothing that needs an answer on the same link."""


@dataclass(frozen=True, slots=True)
class Relayed(MapMessage):
    """The relay has the envelope in custody. evidence: of kind `relayed`, in the open: it names the envelope alone."""

    TYPE: ClassVar[int] = 28
    envelope_id: EnvelopeId
    evidence: bytes

    def fields(self) -> dict[str, Value]:
        """{env, evidence}."""
        return {"env": bytes(self.envelope_id), "evidence": self.evidence}

    @classmethod
    def read(cls, fields: FieldReader) -> Self:
        """See MapMessage."""
        return cls(
            EnvelopeId(fields.fixed("env", EnvelopeId.LENGTH)),
            fields.binary("evidence", low=1, high=MAX_EVIDENCE_BYTES),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass(MapMessage):
    """A message from one node to another by way of one relay. kind, body: the frame type and body of what is passed.

    Towards the relay `source` is who sends it on the link, and from the relay `target` is who receives it: any other
    pair is refused, so that no message takes two relays.
    """

    TYPE: ClassVar[int] = 29
    source: NodeId
    target: NodeId
    kind: int
    body: bytes

    def fields(self) -> dict[str, Value]:
        """{from, to, type, body}."""
        return {"from": bytes(self.source), "to": bytes(self.target), "type": self.kind, "body": self.body}

    @classmethod
    def read(cls, fields: FieldReader) -> Self:
        """See MapMessage. RemoteProtocolError(malformed) also for a type that is not passed on."""
        kind = fields.integer("type", high=127)
        if kind not in PASSED_TYPES:
            raise RemoteProtocolError(Reason.MALFORMED, f"type {kind} is not passed on")
        return cls(
            source=NodeId(fields.fixed("from", NodeId.LENGTH)),
            target=NodeId(fields.fixed("to", NodeId.LENGTH)),
            kind=kind,
            body=fields.binary("body", low=1, high=MAX_PASSED_BYTES),
        )

    @classmethod
    def of(cls, message: Passed, *, source: NodeId, target: NodeId) -> Self:
        """Wrap a message."""
        return cls(source=source, target=target, kind=message.TYPE, body=message.encode())

    def opened(self) -> Passed:
        """What is passed. RemoteProtocolError for a body that is not of its type."""
        return PASSED_TYPES[self.kind].decode(self.body)


@dataclass(frozen=True, slots=True)
class PassOk(MapMessage):
    """It is stored, or taken. code: it is not; with after_ms it may be tried again."""

    TYPE: ClassVar[int] = 30
    code: str = ""
    after_ms: int = 0

    def fields(self) -> dict[str, Value]:
        """{code?, after?}."""
        fields: dict[str, Value] = {}
        if self.code:
            fields["code"] = check_own_code(self.code)
        if self.after_ms:
            fields["after"] = self.after_ms
        return fields

    @classmethod
    def read(cls, fields: FieldReader) -> Self:
        """See MapMessage. RemoteProtocolError(malformed) also for a time without the reason to wait."""
        code = read_code(fields) if "code" in fields else ""
        after_ms = fields.integer("after", low=1, high=_MAX_AFTER_MS) if "after" in fields else 0
        if after_ms and not code:
            raise RemoteProtocolError(Reason.MALFORMED, "after without code")
        return cls(code, after_ms)
