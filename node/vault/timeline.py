"""What happened to a sent letter, recipient by recipient, and the evidence for it. Spec: spec/delivery.md, 2 and 3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import sqlalchemy as sa

from node.audit.cosigned_heads import WitnessKeys
from node.audit.log import LeafRef, read_evidence
from node.vault import schema
from node.vault.database import Database
from node.vault.directory import Directory
from node.vault.outbox_rows import DeliveryRow, OutboxRows
from node.vault.reading import StoredLetter
from node.vault.sealing import RowKeys
from node.vault.states import DeliveryState
from protocol.details import Details, decode_details
from protocol.entry import Absence
from protocol.evidence import Evidence, decode_evidence
from protocol.ids import LeafTag, MailboxId, NodeId
from protocol.logleaf import EventKind, LogLeaf

__all__ = ["LetterEvidence", "RecipientLine", "Timeline", "TimelineEvent", "Timelines"]


_LADDER: Final = (EventKind.REMINDED, EventKind.ESCALATED, EventKind.SENDER_TOLD)
"""Their codes tell a time, no reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEvent:
    """One event. node: whose log says so; own: whether it is this node's. code: of a refusal. role: of an opening.

    actor: the address of the member or deputy who acted; empty for the owner. witnesses: how many other institutions
    cosigned the head under which its evidence stands.
    """

    kind: EventKind
    time_ms: int
    node: NodeId
    own: bool
    address: str
    code: str
    role: str
    actor: str = ""
    witnesses: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientLine:
    """One recipient: the state that counts now, when it changed, the refusal's code, the role that opened last.

    actor: the address of the member or deputy who opened last. moved_to: where to write instead, of a refused one.
    absence: of one who is away now and has not opened it.
    """

    address: str
    institution: str
    state: DeliveryState
    changed_at_ms: int
    code: str
    role: str
    actor: str = ""
    moved_to: str = ""
    absence: Absence | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """A sent letter: one line for each recipient, and all events in order of time."""

    recipients: tuple[RecipientLine, ...]
    events: tuple[TimelineEvent, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterEvidence:
    """All evidence of a sent letter: this node's and what the others gave; the deliveries it speaks of."""

    evidence: tuple[Evidence, ...]
    deliveries: tuple[DeliveryRow, ...]


class Timelines:
    """Reads the history of sent letters."""

    def __init__(self, *, database: Database, keys: RowKeys, directory: Directory, outbox: OutboxRows) -> None:
        self._database = database
        self._keys = keys
        self._directory = directory
        self._outbox = outbox
        self._witnesses = WitnessKeys(directory)

    async def evidence(self, stored: StoredLetter) -> LetterEvidence:
        """All evidence of one sent letter."""
        return await self._database.read(self._evidence, stored.tag)

    def _evidence(self, connection: sa.Connection, tag: LeafTag) -> LetterEvidence:
        found: list[Evidence] = []
        leaves, received = schema.log_leaves, schema.peer_evidence
        for row in connection.execute(sa.select(leaves.c.epoch, leaves.c.position).where(leaves.c.tag == tag)).all():
            evidence = read_evidence(connection, self._keys, LeafRef(row.epoch, row.position))
            if evidence is not None:
                found.append(evidence)
        for row in connection.execute(sa.select(received.c.id, received.c.sealed).where(received.c.tag == tag)):
            found.append(decode_evidence(self._keys.open("peer_evidence", row.id, "sealed", row.sealed)))
        return LetterEvidence(evidence=tuple(found), deliveries=tuple(self._outbox.deliveries(connection, tag)))

    async def timeline(self, stored: StoredLetter) -> Timeline:
        """The history of one sent letter."""
        return await self._database.read(self._timeline, stored.tag)

    def _timeline(self, connection: sa.Connection, tag: LeafTag) -> Timeline:
        held = self._evidence(connection, tag)
        by_place: dict[tuple[NodeId, MailboxId | None], DeliveryRow] = {
            (delivery.node, delivery.mailbox): delivery for delivery in held.deliveries
        }
        events = []
        for evidence in held.evidence:
            leaf, details = LogLeaf.decode(evidence.leaf), decode_details(evidence.details)
            witnesses = self._witnesses.cosignatures(connection, evidence.proof.checkpoint)
            event = self._event(connection, leaf, details, by_place)
            events.append(replace(event, witnesses=len(witnesses)))
        events.sort(key=lambda event: (event.time_ms, event.kind))
        return Timeline(
            recipients=tuple(self._line(connection, delivery, events) for delivery in held.deliveries),
            events=tuple(events),
        )

    def _event(
        self,
        connection: sa.Connection,
        leaf: LogLeaf,
        details: Details,
        by_place: Mapping[tuple[NodeId, MailboxId | None], DeliveryRow],
    ) -> TimelineEvent:
        own = details.node == self._keys.node_id
        place = details.peer if own and (details.peer, details.mailbox) in by_place else details.node
        delivery = by_place.get((place or details.node, details.mailbox))
        return TimelineEvent(
            kind=leaf.kind,
            time_ms=leaf.time_ms,
            node=details.node,
            own=own,
            address="" if delivery is None else delivery.address,
            code=details.code or "",
            role=details.role or "",
            actor=self._actor(connection, details),
        )

    def _actor(self, connection: sa.Connection, details: Details) -> str:
        """Who acted for another mailbox, as that institution's directory says."""
        if details.actor is None:
            return ""
        entry = self._directory.mailbox_of(connection, details.node, details.actor)
        return "unknown" if entry is None else entry.address

    def _line(self, connection: sa.Connection, delivery: DeliveryRow, events: list[TimelineEvent]) -> RecipientLine:
        mine = [event for event in events if event.address == delivery.address]
        opened = next((event for event in reversed(mine) if event.role), None)
        moved_to = ""
        if delivery.state is DeliveryState.REFUSED:
            entry = self._directory.mailbox_of(connection, delivery.node, delivery.mailbox)
            moved_to = "" if entry is None else entry.moved_to or ""
        absence = None
        if delivery.state in (DeliveryState.WAITING, DeliveryState.DEPOSITED):
            entry = self._directory.mailbox_of(connection, delivery.node, delivery.mailbox)
            absence = None if entry is None else entry.absence_at(self._database.world.now_ms())
        peer = connection.execute(
            sa.select(schema.peers.c.institution).where(schema.peers.c.node_id == delivery.node)
        ).scalar_one_or_none()
        institution = peer or self._directory.institution(connection, self._keys.node_id).names[0]
        return RecipientLine(
            address=delivery.address,
            institution=institution,
            state=delivery.state,
            changed_at_ms=delivery.changed_at_ms,
            code=next((event.code for event in reversed(mine) if event.code and event.kind not in _LADDER), ""),
            role="" if opened is None else opened.role,
            actor="" if opened is None else opened.actor,
            moved_to=moved_to,
            absence=absence,
        )

    async def states(self, stored: list[StoredLetter]) -> dict[bytes, list[DeliveryRow]]:
        """The deliveries of several sent letters, by letter row."""
        return await self.states_of({letter.row: letter.tag for letter in stored})

    async def states_of(self, tags: Mapping[bytes, LeafTag]) -> dict[bytes, list[DeliveryRow]]:
        """The same, by the rows' tags."""

        def read(connection: sa.Connection) -> dict[bytes, list[DeliveryRow]]:
            return {row: self._outbox.deliveries(connection, tag) for row, tag in tags.items()}

        return await self._database.read(read)
