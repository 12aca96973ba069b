"""Events that an institution opens to an auditor, as a text file that proves itself: writing and reading.

Spec: spec/audit.md, 4. `disclosure_report.py` says what the file proves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from protocol.checkpoint import parse_origin, peek_checkpoint
from protocol.crypto import sha256
from protocol.details import MAX_DETAILS_BYTES
from protocol.errors import Reason, RemoteProtocolError, malformed
from protocol.evidence import Evidence
from protocol.ids import LetterId, MailboxId
from protocol.logleaf import LEAF_BYTES, OPENING_BYTES
from protocol.merkle import HASH_BYTES
from protocol.text_file import (
    LineCursor,
    NodeStatements,
    checked_text,
    checksummed,
    encoded_line,
    read_back,
    statement_lines,
    strict_head,
    take_node,
)
from protocol.tlogproof import TlogProof

__all__ = [
    "MAX_DISCLOSURE_BYTES",
    "DisclosedEvent",
    "Disclosure",
    "DisclosureHead",
    "Scope",
    "disclosed_code",
    "is_disclosure",
    "parse_disclosure",
    "parse_scope",
    "write_disclosure",
]

MAX_DISCLOSURE_BYTES: Final = 64 * 1024 * 1024
"""Some 60,000 events with proofs of twenty hashes."""
_NAME: Final = "coffre-disclosure"
_MAX_HASHES: Final = 53
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,15}")
_AUDITOR: Final = re.compile(r"-|[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What was asked for: a letter; a mailbox in a time; or, with neither, everything in a time.

    from_ms, until_ms: milliseconds UTC, until is not in it; both 0 for a letter.
    """

    letter: LetterId | None = None
    mailbox: MailboxId | None = None
    from_ms: int = 0
    until_ms: int = 0

    @property
    def text(self) -> str:
        """The line after `scope`."""
        if self.letter is not None:
            return f"letter {self.letter.text}"
        if self.mailbox is not None:
            return f"mailbox {self.mailbox.text} {self.from_ms} {self.until_ms}"
        return f"period {self.from_ms} {self.until_ms}"


@dataclass(frozen=True, slots=True)
class DisclosureHead:
    """A head of one epoch, one signature line: what the proofs of its events lead to."""

    epoch: int
    note: bytes


@dataclass(frozen=True, slots=True)
class DisclosedEvent:
    """A leaf (59 bytes), where it stands, its opening (32) and details, and the inclusion proof."""

    epoch: int
    index: int
    leaf: bytes
    opening: bytes
    details: bytes
    hashes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Disclosure:
    """What the file holds. to: an auditor's id, 32 hex digits, or - for any. erased: (epoch, index) of leaves of the
    scope that nobody can open any more. record: the leaf in the log that says so.
    """

    node: NodeStatements
    to: str
    made_at_ms: int
    scope: Scope
    heads: tuple[DisclosureHead, ...]
    events: tuple[DisclosedEvent, ...]
    erased: tuple[tuple[int, int], ...]
    record: Evidence


def _body(item: Disclosure) -> Iterator[str]:
    yield f"{_NAME}@v1"
    yield from statement_lines(item.node)
    yield f"to {item.to}"
    yield f"made {item.made_at_ms}"
    yield f"scope {item.scope.text}"
    for head in item.heads:
        yield f"head {head.epoch}"
        yield from head.note.decode().removesuffix("\n").split("\n")
        yield "end"
    for event in item.events:
        yield f"event {event.epoch} {event.index}"
        yield encoded_line("leaf", event.leaf)
        yield encoded_line("opening", event.opening)
        yield encoded_line("details", event.details)
        for hashed in event.hashes:
            yield encoded_line("hash", hashed)
    for epoch, index in item.erased:
        yield f"erased {epoch} {index}"


def _record(record: Evidence) -> Iterator[str]:
    yield "record"
    yield encoded_line("leaf", record.leaf)
    yield encoded_line("opening", record.opening)
    yield encoded_line("details", record.details)
    yield from record.proof.encode().decode().removesuffix("\n").split("\n")
    yield "end"


def disclosed_code(disclosure: Disclosure) -> str:
    """The code of the leaf `disclosed`: SHA-256, hex, of all lines before `record`."""
    return sha256("".join(f"{line}\n" for line in _body(disclosure)).encode()).hex()


def _render(disclosure: Disclosure) -> bytes:
    return checksummed([*_body(disclosure), *_record(disclosure.record)])


def write_disclosure(disclosure: Disclosure) -> bytes:
    """The file's bytes. LocalProtocolError if they could not be read back (too large, out of order, …)."""
    return read_back(_render(disclosure), parse_disclosure, "a disclosure")


def is_disclosure(raw: bytes) -> bool:
    """Whether a file begins as one."""
    return raw.startswith(f"{_NAME}@".encode())


def _numbers(text: str, count: int) -> list[int]:
    parts = text.split(" ")
    if len(parts) != count or not all(_NUMBER.fullmatch(part) for part in parts):
        raise malformed(f"expected {count} plain decimals")
    return [int(part) for part in parts]


def parse_scope(text: str) -> Scope:
    """What stands after `scope`. RemoteProtocolError(malformed)."""
    word, _, rest = text.partition(" ")
    try:
        if word == "letter":
            scope = Scope(letter=LetterId.from_text(rest))
        elif word == "mailbox":
            name, _, times = rest.partition(" ")
            start, end = _numbers(times, 2)
            scope = Scope(mailbox=MailboxId.from_text(name), from_ms=start, until_ms=end)
        elif word == "period":
            start, end = _numbers(rest, 2)
            scope = Scope(from_ms=start, until_ms=end)
        else:
            raise malformed("a scope is a letter, a mailbox or a period")
    except ValueError as error:
        raise malformed(str(error)) from error
    if scope.letter is None and scope.from_ms >= scope.until_ms:
        raise malformed("the period ends before it begins")
    return scope


def _take_heads(cursor: LineCursor) -> tuple[DisclosureHead, ...]:
    heads = []
    while cursor.next_is("head"):
        (epoch,) = _numbers(cursor.take("head"), 1)
        note = strict_head(cursor.take_block("head"))
        if parse_origin(peek_checkpoint(note).origin)[::2] != ("log", epoch):
            raise RemoteProtocolError(Reason.MISMATCH, f"not a head of epoch {epoch} of a log")
        heads.append(DisclosureHead(epoch, note))
    return tuple(heads)


def _take_event(cursor: LineCursor) -> DisclosedEvent:
    epoch, index = _numbers(cursor.take("event"), 2)
    leaf = cursor.take_binary("leaf", LEAF_BYTES, LEAF_BYTES)
    opening = cursor.take_binary("opening", OPENING_BYTES, OPENING_BYTES)
    details = cursor.take_binary("details", 1, MAX_DETAILS_BYTES)
    hashes: list[bytes] = []
    while cursor.next_is("hash"):
        hashes.append(cursor.take_binary("hash", HASH_BYTES, HASH_BYTES))
        if len(hashes) > _MAX_HASHES:
            raise RemoteProtocolError(Reason.TOO_LARGE, "more hashes than any proof has")
    return DisclosedEvent(epoch, index, leaf, opening, details, tuple(hashes))


def _take_record(cursor: LineCursor) -> Evidence:
    if cursor.take("record"):
        raise malformed("nothing stands after record")
    leaf = cursor.take_binary("leaf", LEAF_BYTES, LEAF_BYTES)
    opening = cursor.take_binary("opening", OPENING_BYTES, OPENING_BYTES)
    details = cursor.take_binary("details", 1, MAX_DETAILS_BYTES)
    proof = TlogProof.decode(cursor.take_block("proof"))
    strict_head(proof.checkpoint)
    return Evidence(leaf, opening, details, proof)


def _rise(places: Sequence[tuple[int, ...]]) -> bool:
    return all(before < after for before, after in pairwise(places))


def parse_disclosure(raw: bytes) -> Disclosure:
    """Read a file; nothing in it is true before `verify_disclosure`.

    RemoteProtocolError: too_large, unknown_version, malformed, mismatch (checksum, head), not_canonical.
    """
    cursor = checked_text(raw, name=_NAME, max_bytes=MAX_DISCLOSURE_BYTES)
    node, to = take_node(cursor), cursor.take("to")
    if not _AUDITOR.fullmatch(to):
        raise malformed("to names an auditor by 32 hex digits, or is -")
    (made,) = _numbers(cursor.take("made"), 1)
    scope = parse_scope(cursor.take("scope"))
    heads = _take_heads(cursor)
    events = []
    while cursor.next_is("event"):
        events.append(_take_event(cursor))
    erased = []
    while cursor.next_is("erased"):
        epoch, index = _numbers(cursor.take("erased"), 2)
        erased.append((epoch, index))
    record = _take_record(cursor)
    if not cursor.done:
        raise malformed("a line of no known sort, or out of order")
    places = [(event.epoch, event.index) for event in events]
    if not heads or not _rise([(head.epoch,) for head in heads]) or not _rise(places) or not _rise(erased):
        raise malformed("heads, events and erased ones rise, and there is a head")
    if not {epoch for epoch, _ in (*places, *erased)} <= {head.epoch for head in heads} or set(places) & set(erased):
        raise malformed("an event without the head of its epoch, or both opened and erased")
    made_file = Disclosure(
        node=node,
        to=to,
        made_at_ms=made,
        scope=scope,
        heads=heads,
        events=tuple(events),
        erased=tuple(erased),
        record=record,
    )
    if _render(made_file) != raw:
        raise RemoteProtocolError(Reason.NOT_CANONICAL, "written in another way than the one allowed")
    return made_file
