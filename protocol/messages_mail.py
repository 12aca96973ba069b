"""Messages of the post: offers, results, later evidence. Spec: spec/wire.md, 6."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Final, Self

from protocol.codec import FieldReader, Value
from protocol.crypto import HPKE_OVERHEAD_BYTES, hash_labelled
from protocol.envelope import MAX_ENVELOPE_BYTES
from protocol.errors import Reason, RemoteProtocolError
from protocol.evidence import MAX_EVIDENCE_BYTES
from protocol.frames import MAX_BODY_BYTES
from protocol.ids import EnvelopeId, MailboxId
from protocol.labels import Label
from protocol.letter import LetterClass
from protocol.message import EmptyMessage, MapMessage, check_own_code, read_code
from protocol.payload import TAG_BYTES
from protocol.slip import MAX_SLIP_RECIPIENTS
from protocol.withdrawal import MAX_WITHDRAWAL_BYTES

__all__ = [
    "RESULT_STATUSES",
    "Event",
    "EventOk",
    "MailboxResult",
    "Offer",
    "Result",
    "StatusQuery",
    "Wanted",
    "Withdraw",
    "inline_fits",
    "split_results",
]

_CLASSES: Final = tuple(item.value for item in LetterClass)
RESULT_STATUSES: Final = ("deposited", "refused", "deferred", "withdrawn", "too_late", "unknown")
# Field names, lengths and the values of fixed size in an offer, a result, and a mailbox's part of it: at most.
_OFFER_ROOM: Final = 64
_RESULT_ROOM: Final = 192
_MAILBOX_ROOM: Final = 192
_MAX_AFTER_MS: Final = 2**40
# Which seal key, and the box.
_MAX_WITHDRAW_BOX_BYTES: Final = 8 + HPKE_OVERHEAD_BYTES + MAX_WITHDRAWAL_BYTES


def inline_fits(envelope: bytes, ciphertext_bytes: int) -> bool:
    """Whether a payload of one chunk may travel in the offer itself."""
    return len(envelope) + ciphertext_bytes + _OFFER_ROOM <= MAX_BODY_BYTES


@dataclass(frozen=True)
class Offer(MapMessage):
    """Here is an envelope. inline: the payload's only ciphertext chunk, where it fits the frame."""

    TYPE: ClassVar[int] = 16
    letter_class: LetterClass
    envelope: bytes
    inline: bytes | None = None

    @cached_property
    def envelope_id(self) -> EnvelopeId:
        """H("envelope", envelope): what the replies name."""
        return EnvelopeId(hash_labelled(Label.ENVELOPE, self.envelope))

    def fields(self) -> dict[str, Value]:
        """{class, env, inline?}."""
        fields: dict[str, Value] = {"class": self.letter_class.value, "env": self.envelope}
        if self.inline is not None:
            fields["inline"] = self.inline
        return fields

    @classmethod
    def read(cls, fields: FieldReader) -> Self:
        """See MapMessage."""
        return cls(
            LetterClass(fields.choice("class", _CLASSES)),
            fields.binary("env", low=1, high=MAX_ENVELOPE_BYTES),
            fields.binary("inline", low=TAG_BYTES + 1, high=MAX_BODY_BYTES) if "inline" in fields else None,
        )


def _outcome_fields(code: str, after_ms: int) -> dict[str, Value]:
    fields: dict[str, Value] = {}
    if code:
        fields["code"] = check_own_code(code)
    if after_ms:
        fields["after"] = after_ms
    return fields


def _read_outcome(fields: FieldReader) -> tuple[str, int]:
    code = read_code(fields) if "code" in fields else ""
    return code, fields.integer("after", low=1, high=_MAX_AFTER_MS) if "after" in fields else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxResult:
    """The result for one mailbox.

    status: one of RESULT_STATUSES. code: why, for refused and deferred. after_ms: when to try again, for deferred.
    evidence: boxed; empty where there is none (deferred, unknown, or erased since).
    """

    mailbox: MailboxId
    status: str
    code: str = ""
    after_ms: int = 0
    evidence: bytes = b""

    def fields(self) -> dict[str, Value]:
        """{mb, status, code?, after?, evidence?}."""
        fields = {"mb": bytes(self.mailbox), "status": self.status, **_outcome_fields(self.code, self.after_ms)}
        if self.evidence:
            fields["evidence"] = self.evidence
        return fields

    @classmethod
    def read(cls, fields: FieldReader) -> Self:
        """RemoteProtocolError(malformed)."""
        code, after_ms = _read_outcome(fields)
        result = cls(
            mailbox=MailboxId(fields.fixed("mb", MailboxId.LENGTH)),
            status=fields.choice("status", RESULT_STATUSES),
            code=code,
            after_ms=after_ms,
            evidence=fields.binary("evidence", low=1, high=MAX_EVIDENCE_BYTES) if "evidence" in fields else b"",
        )
        fields.done()
        return result


@dataclass(frozen=True, slots=True)
class Result(MapMessage):
    """Results for mailboxes of an envelope.

    code: the envelope was refused as a whole (no evidence); with after_ms, for now only. more: further frames for this
    envelope follow. Neither results nor code: the envelope is not known here.
    """

    TYPE: ClassVar[int] = 17
    envelope_id: EnvelopeId
    results: tuple[MailboxResult, ...] = ()
    code: str = ""
    after_ms: int = 0
    more: bool = False

    def fields(self) -> dict[str, Value]:
        """{env, results, code?, after?, more}."""
        return {
            "env": bytes(self.envelope_id),
            "results": [item.fields() for item in self.results],
            "more": self.more,
            **_outcome_fields(self.code, self.after_ms),
        }

    @classmethod
    def read(cls, fields: FieldReader) -> Self:
        """See MapMessage. RemoteProtocolError(malformed) also for a frame that promises more and brings nothing."""
        results = tuple(
            MailboxResult.read(FieldReader(item)) for item in fields.items("results", high=MAX_SLIP_RECIPIENTS)
        )
        code, after_ms = _read_outcome(fields)
        envelope_id = EnvelopeId(fields.fixed("env", EnvelopeId.LENGTH))
        more = fields.boolean("more")
        if more and not results:
            raise RemoteProtocolError(Reason.MALFORMED, "more, after nothing")
        if results and code:
            raise RemoteProtocolError(Reason.MALFORMED, "refused as a whole, and results of mailboxes")
        return cls(envelope_id, results, code, after_ms, more)


def split_results(
    envelope_id: EnvelopeId, results: Iterable[MailboxResult], *, room: int = MAX_BODY_BYTES
) -> list[Result]:
    """The frames, one or several, that carry these results: `more` in all but the last.

    room: bytes of a body; less than a frame's where the results are passed on in another message.
    """
    frames: list[list[MailboxResult]] = [[]]
    whole = room - _RESULT_ROOM
    room = whole
    for item in results:
        length = len(item.evidence) + _MAILBOX_ROOM
        if length > room:
            frames.append([])
            room = whole
        frames[-1].append(item)
        room -= length
    last = len(frames) - 1
    return [Result(envelope_id, tuple(part), more=at < last) for at, part in enumerate(frames)]


@dataclass(frozen=True, slots=True)
class _OnEnvelope(MapMessage):
    envelope_id: EnvelopeId

    def fields(self) -> dict[str, Value]:
        """{env}."""
        return {"env": bytes(self.envelope_id)}

    @classmethod
    def read(cls, fields: FieldReader) -> Self:
        """See MapMessage."""
        return cls(EnvelopeId(fields.fixed("env", EnvelopeId.LENGTH)))


@dataclass(frozen=True, slots=True)
class Wanted(_OnEnvelope):
    """The envelope passed the checks; its payload will be pulled, and the result follows on stream 0."""

    TYPE: ClassVar[int] = 18


@dataclass(frozen=True, slots=True)
class StatusQuery(_OnEnvelope):
    """What became of this envelope?"""

    TYPE: ClassVar[int] = 19


@dataclass(frozen=True, slots=True)
class Withdraw(MapMessage):
    """Takes a letter back. box: the signed request, sealed to the destination (protocol/withdrawal.py)."""

    TYPE: ClassVar[int] = 25
    box: bytes

    def fields(self) -> dict[str, Value]:
        """{box}."""
        return {"box": self.box}

    @classmethod
    def read(cls, fields: FieldReader) -> Self:
        """See MapMessage."""
        return cls(fields.binary("box", low=1, high=_MAX_WITHDRAW_BOX_BYTES))


@dataclass(frozen=True, slots=True)
class Event(MapMessage):
    """Later evidence for the sender: opened, collected, unreadable. evidence: boxed under the slip's reply key."""

    TYPE: ClassVar[int] = 26
    evidence: bytes

    def fields(self) -> dict[str, Value]:
        """{evidence}."""
        return {"evidence": self.evidence}

    @classmethod
    def read(cls, fields: FieldReader) -> Self:
        """See MapMessage."""
        return cls(fields.binary("evidence", low=1, high=MAX_EVIDENCE_BYTES))


@dataclass(frozen=True, slots=True)
class EventOk(EmptyMessage):
    """The evidence is stored, or will never be of use (unknown envelope): do not send it again."""

    TYPE: ClassVar[int] = 27
