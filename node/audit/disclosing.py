"""Opening chosen events of the own log to an auditor. Spec: spec/audit.md, 4."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any, Final

import sqlalchemy as sa

from node.audit.log import OPENING_BYTES, LeafRef, LogAppender, row_name
from node.audit.publication import list_epochs
from node.audit.tiles import StoredTileReader
from node.errors import LimitError, NotFoundError
from node.vault import schema
from node.vault.database import AfterCommit, Database, Transaction
from node.vault.reading import row_of_letter
from node.vault.sealing import RowKeys
from protocol.checkpoint import peek_checkpoint
from protocol.details import Details, decode_details
from protocol.disclosure import (
    MAX_DISCLOSURE_BYTES,
    DisclosedEvent,
    Disclosure,
    DisclosureHead,
    Scope,
    disclosed_code,
    write_disclosure,
)
from protocol.disclosure_report import OpenedEvent
from protocol.evidence import Evidence
from protocol.ids import LeafTag, LetterId
from protocol.logleaf import EventKind, LogLeaf
from protocol.merkle import inclusion_proof
from protocol.note import keep_signature
from protocol.statement import StatementChain
from protocol.text_file import NodeStatements
from protocol.tlogproof import TlogProof

__all__ = ["Disclosed", "Discloser", "OwnEvent", "letter_tags", "own_events"]

_MAX_EVENTS: Final = 50_000
_MAX_EXPORTED: Final = 500_000
_AT_ONCE: Final = 1000
# Base64 of leaf, opening, and details as large as they are for an opening.
_ABOUT_BYTES: Final = 900
_HASH_LINE_BYTES: Final = 50
# From 1, after first byte, kind and time.
_TAG_AT: Final = 12
_NO_RECORD: Final = Evidence(b"", b"", b"", TlogProof(0, (), b""))


@dataclass(frozen=True, slots=True)
class Disclosed:
    """A disclosure that is on record. data: the file."""

    disclosure: Disclosure
    data: bytes


@dataclass(frozen=True, slots=True)
class OwnEvent:
    """A leaf of the own log and what it commits to; opening and details are None once they were erased."""

    ref: LeafRef
    leaf: bytes
    opening: bytes | None
    details: bytes | None

    @classmethod
    def of_row(cls, keys: RowKeys, row: Any) -> OwnEvent:
        """From epoch, position, leaf and sealed of log_leaves."""
        ref = LeafRef(row.epoch, row.position)
        if row.sealed is None:
            return cls(ref, row.leaf, None, None)
        opened = keys.open("log_leaves", row_name(ref), "sealed", row.sealed)
        return cls(ref, row.leaf, opened[:OPENING_BYTES], opened[OPENING_BYTES:])

    @property
    def said(self) -> Details | None:
        """The details, decoded."""
        return None if self.details is None else decode_details(self.details)


def own_events(connection: sa.Connection, keys: RowKeys, scope: Scope) -> Iterator[OwnEvent]:
    """The leaves of the own log that are in a scope, in order.

    Of a letter: every leaf under its tags. Of a mailbox: those that name it. NotFoundError for an unknown letter.
    """
    table = schema.log_leaves
    query = sa.select(table.c.epoch, table.c.position, table.c.leaf, table.c.sealed)
    query = query.order_by(table.c.epoch, table.c.position)
    if scope.letter is not None:
        # By the leaf itself: the column beside it is emptied when a letter is erased, and what was erased is named.
        tag = sa.func.substr(table.c.leaf, _TAG_AT, LeafTag.LENGTH)
        query = query.where(tag.in_(letter_tags(connection, keys, scope.letter)))
    for row in connection.execution_options(yield_per=_AT_ONCE).execute(query):
        time_ms = int.from_bytes(row.leaf[3:11], "big")
        if scope.letter is None and not scope.from_ms <= time_ms < scope.until_ms:
            continue
        event = OwnEvent.of_row(keys, row)
        if scope.mailbox is not None:
            said = event.said
            # Whose an erased one was is not known any more.
            if said is None or scope.mailbox not in (said.mailbox, said.actor):
                continue
        yield event


def letter_tags(connection: sa.Connection, keys: RowKeys, letter: LetterId) -> set[bytes]:
    """The tags of one letter: sent, received, or both. NotFoundError."""
    table = schema.log_leaves
    kinds = [int(kind).to_bytes(2, "big") for kind in (EventKind.SUBMITTED, EventKind.DEPOSITED, EventKind.REFUSED)]
    found = set()
    query = sa.select(table.c.epoch, table.c.position, table.c.leaf, table.c.sealed)
    for row in connection.execution_options(yield_per=_AT_ONCE).execute(query.where(table.c.sealed.is_not(None))):
        if row.leaf[1:3] in kinds:
            said = OwnEvent.of_row(keys, row).said
            if said is not None and said.letter == letter:
                found.add(row.leaf[_TAG_AT - 1 : _TAG_AT - 1 + LeafTag.LENGTH])
    if not found:
        raise NotFoundError("no event of this letter is in the log", hint="it was erased, or is another node's")
    return found


class Discloser:
    """Makes disclosures: gathers, puts on record, writes."""

    def __init__(self, *, database: Database, keys: RowKeys, chain: StatementChain) -> None:
        self._database = database
        self._keys = keys
        self._chain = chain

    async def disclose(self, scope: Scope, *, to: str = "-") -> Disclosed:
        """Open what is in the scope, for an auditor (32 hex digits) or anybody (-). On record before it is returned.

        NotFoundError for an unknown letter. LimitError if it is too much for one file.
        """
        gathered = await self._database.read(self._gather, scope, to)
        record: Evidence = await self._database.write(self._put_on_record, disclosed_code(gathered))
        made = replace(gathered, record=record)
        return Disclosed(made, await self._database.world.run_blocking(write_disclosure, made))

    def _gather(self, connection: sa.Connection, scope: Scope, to: str) -> Disclosure:
        heads = list_epochs(connection)
        notes = {item.epoch: keep_signature(item.note, peek_checkpoint(item.note).origin) for item in heads}
        readers = {item.epoch: StoredTileReader(connection, item.epoch) for item in heads}
        sizes = {item.epoch: item.size for item in heads}
        events: dict[tuple[int, int], DisclosedEvent] = {}
        erased: list[tuple[int, int]] = []
        size = 0
        for event in chain(self._openings(connection), own_events(connection, self._keys, scope)):
            place = (event.ref.epoch, event.ref.position)
            if event.opening is None or event.details is None:
                erased.append(place)
                continue
            proof = inclusion_proof(event.ref.position, sizes[event.ref.epoch], readers[event.ref.epoch])
            events[place] = DisclosedEvent(*place, event.leaf, event.opening, event.details, tuple(proof))
            size += _ABOUT_BYTES + _HASH_LINE_BYTES * len(proof)
            if len(events) > _MAX_EVENTS or size > MAX_DISCLOSURE_BYTES // 2:
                raise LimitError(
                    f"more than {len(events) - 1} events: too much for one disclosure", hint="choose a shorter time"
                )
        return Disclosure(
            node=NodeStatements(self._chain.node_id, tuple(self._chain.raw_list())),
            to=to,
            made_at_ms=self._database.world.now_ms(),
            scope=scope,
            heads=tuple(DisclosureHead(epoch, note) for epoch, note in notes.items()),
            events=tuple(events[place] for place in sorted(events)),
            erased=tuple(sorted(set(erased))),
            record=_NO_RECORD,
        )

    async def exported_events(self, from_ms: int, until_ms: int) -> list[OpenedEvent]:
        """The own events of a time, opened, for an export; it is on record before they are returned. LimitError."""
        scope = Scope(from_ms=from_ms, until_ms=until_ms)
        events = await self._database.read(lambda connection: self._opened(connection, scope))
        span = (events[0].leaf.time_ms, events[-1].leaf.time_ms) if events else (0, 0)
        await self._database.write(self._put_export_on_record, f"{len(events)} {span[0]}-{span[1]}")
        return events

    def _opened(self, connection: sa.Connection, scope: Scope) -> list[OpenedEvent]:
        found: list[OpenedEvent] = []
        for event in own_events(connection, self._keys, scope):
            said = event.said
            if said is not None:
                leaf = LogLeaf.decode(event.leaf)
                found.append(OpenedEvent(self._chain.node_id, event.ref.epoch, event.ref.position, leaf, said))
            if len(found) > _MAX_EXPORTED:
                raise LimitError(f"more than {_MAX_EXPORTED} events", hint="choose a shorter time")
        return found

    def _put_export_on_record(self, tx: Transaction, codes: Sequence[str]) -> Sequence[None]:
        for code in codes:
            tx.log.append(EventKind.EVENTS_EXPORTED, Details(node=self._chain.node_id, code=code))
        return [None] * len(codes)

    def _openings(self, connection: sa.Connection) -> Iterator[OwnEvent]:
        """The first leaf of each epoch."""
        table = schema.log_leaves
        query = sa.select(table.c.epoch, table.c.position, table.c.leaf, table.c.sealed).where(table.c.position == 0)
        for row in connection.execute(query.order_by(table.c.epoch)).all():
            yield OwnEvent.of_row(self._keys, row)

    def _put_on_record(self, tx: Transaction, codes: Sequence[str]) -> Sequence[AfterCommit]:
        log: LogAppender = tx.log
        refs = [log.append(EventKind.DISCLOSED, Details(node=self._chain.node_id, code=code)) for code in codes]
        return [AfterCommit(partial(log.evidence_of, ref)) for ref in refs]

    async def letter_id(self, text: str) -> LetterId:
        """A letter by its id, or by the beginning of the id that lists show. NotFoundError."""
        try:
            return LetterId.from_text(text)
        except ValueError:
            return await self._database.read(self._letter_of_row, text)

    def _letter_of_row(self, connection: sa.Connection, prefix: str) -> LetterId:
        leaves, tag = schema.log_leaves, row_of_letter(connection, prefix).tag
        query = sa.select(leaves.c.epoch, leaves.c.position, leaves.c.leaf, leaves.c.sealed)
        for row in connection.execute(query.where(leaves.c.tag == tag)).all():
            said = OwnEvent.of_row(self._keys, row).said
            if said is not None and said.letter is not None:
                return said.letter
        raise NotFoundError(f"no evidence is left for letter {prefix}")
