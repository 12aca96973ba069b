"""Gathering one letter's evidence into an evidence file. Spec: spec/evidence.md, 8, 10 and 14."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import sqlalchemy as sa

from node.audit.cosigned_heads import WitnessKeys
from node.audit.log import LeafRef, read_evidence
from node.audit.timestamp_rows import stamped_head_over
from node.errors import NotFoundError
from node.vault import schema
from node.vault.database import Database
from node.vault.directory import Directory
from node.vault.feed_store import EPOCH, feed_head
from node.vault.outbox_rows import OutboxRows
from node.vault.reading import row_of_letter
from node.vault.sealing import RowKeys
from protocol.cosignature import with_cosigners
from protocol.details import decode_details
from protocol.entry_evidence import EntryEvidence
from protocol.evidence import Evidence, decode_evidence
from protocol.evidence_file import EvidenceFile, NodeStatements
from protocol.feed import Operation, OperationKind, decode_operation
from protocol.ids import LeafTag, MailboxId, NodeId
from protocol.logleaf import LogLeaf
from protocol.merkle import ListReader, inclusion_proof, leaf_hash
from protocol.tlogproof import TlogProof

__all__ = ["entries_of", "export_evidence", "statements_of"]


async def export_evidence(
    database: Database, keys: RowKeys, directory: Directory, outbox: OutboxRows, prefix: str
) -> EvidenceFile:
    """All that this node holds about the letter whose row id begins with `prefix`, sent or received.

    Needs no mailbox to be opened: evidence holds ids, never content. NotFoundError.
    """
    return await database.read(_Gatherer(keys, directory, outbox).gather, prefix)


class _Gatherer:
    def __init__(self, keys: RowKeys, directory: Directory, outbox: OutboxRows) -> None:
        self._keys = keys
        self._directory = directory
        self._outbox = outbox
        self._witnesses = WitnessKeys(directory)

    def gather(self, connection: sa.Connection, prefix: str) -> EvidenceFile:
        tag = LeafTag(row_of_letter(connection, prefix).tag)
        tokens: set[bytes] = set()
        found = [*self._own_events(connection, tag, tokens), *self._received(connection, tag)]
        cosigners: set[NodeId] = set()
        events = [self._strict(connection, event, cosigners) for event in found]
        letters = {details.letter for event in events if (details := decode_details(event.details)).letter}
        if not events or len(letters) != 1:
            raise NotFoundError(f"no evidence is left for letter {prefix}")
        chosen = self._mailboxes(connection, tag, events)
        nodes = {decode_details(event.details).node for event in events} | {node for node, _ in chosen} | cosigners
        letter = letters.pop()
        assert letter is not None
        return EvidenceFile(
            letter=letter,
            nodes=tuple(statements_of(connection, self._directory, nodes)),
            events=tuple(set(events)),
            entries=tuple(entries_of(connection, chosen)),
            timestamps=tuple(tokens),
        ).arranged()

    def _own_events(self, connection: sa.Connection, tag: LeafTag, tokens: set[bytes]) -> Iterable[Evidence]:
        """Leaves of the own log, each under the oldest stamped head above it if there is one; its token is added."""
        table = schema.log_leaves
        query = sa.select(table.c.epoch, table.c.position, table.c.leaf).where(table.c.tag == tag)
        for row in connection.execute(query).all():
            if not LogLeaf.decode(row.leaf).kind.is_of_letter:
                continue
            ref = LeafRef(row.epoch, row.position)
            stamped = stamped_head_over(connection, ref)
            evidence = read_evidence(connection, self._keys, ref, None if stamped is None else stamped.head)
            if evidence is not None:
                tokens |= set() if stamped is None else {stamped.token}
                yield evidence

    def _received(self, connection: sa.Connection, tag: LeafTag) -> Iterable[Evidence]:
        table = schema.peer_evidence
        for row in connection.execute(sa.select(table.c.id, table.c.sealed).where(table.c.tag == tag)):
            yield decode_evidence(self._keys.open("peer_evidence", row.id, "sealed", row.sealed))

    def _strict(self, connection: sa.Connection, event: Evidence, cosigners: set[NodeId]) -> Evidence:
        """The evidence with those lines of its head alone that can be checked here, and so by whoever has the file."""
        note = event.proof.checkpoint
        found = self._witnesses.cosignatures(connection, note)
        cosigners.update(item.node_id for item in found)
        return replace(event, proof=replace(event.proof, checkpoint=with_cosigners(note, found)))

    def _mailboxes(
        self, connection: sa.Connection, tag: LeafTag, events: Iterable[Evidence]
    ) -> set[tuple[NodeId, MailboxId | None]]:
        """Whose entries to enclose: each mailbox named, and each institution concerned."""
        chosen: set[tuple[NodeId, MailboxId | None]] = set()
        for delivery in self._outbox.deliveries(connection, tag):
            chosen |= {(delivery.node, delivery.mailbox), (delivery.node, None)}
        for event in events:
            details = decode_details(event.details)
            # The institution on the other side too: a node id tells nobody who wrote.
            chosen |= {(node, None) for node in (details.node, details.peer) if node is not None}
            for mailbox in (details.mailbox, details.actor):
                if mailbox is not None and self._directory.mailbox_of(connection, details.node, mailbox):
                    chosen.add((details.node, mailbox))
        return chosen


def statements_of(connection: sa.Connection, directory: Directory, nodes: set[NodeId]) -> Iterable[NodeStatements]:
    """The statements of these nodes, of those that are known here."""
    for node in sorted(nodes):
        chain = directory.known_chain(connection, node)
        if chain is not None:
            yield NodeStatements(node, tuple(chain.raw_list()))


def entries_of(connection: sa.Connection, chosen: set[tuple[NodeId, MailboxId | None]]) -> Iterable[EntryEvidence]:
    """Every version that their feeds hold of these mailboxes, and of institutions (None), each with its proof."""
    table = schema.feed_operations
    for node in sorted({node for node, _ in chosen}):
        head = feed_head(connection, node)
        rows = connection.execute(
            sa.select(table.c.operation)
            .where(table.c.node_id == node, table.c.epoch == EPOCH)
            .order_by(table.c.position)
        )
        operations = [decode_operation(raw) for raw in rows.scalars()]
        reader = ListReader([leaf_hash(operation.leaf.encode()) for operation in operations])
        wanted = {mailbox for other, mailbox in chosen if other == node}
        for position, operation in enumerate(operations):
            if _is_wanted(operation, wanted) and operation.opening and operation.entry:
                path = inclusion_proof(position, len(operations), reader)
                proof = TlogProof(position, tuple(path), head)
                yield EntryEvidence(operation.leaf.encode(), operation.opening, operation.entry, proof)


def _is_wanted(operation: Operation, wanted: set[MailboxId | None]) -> bool:
    leaf = operation.leaf
    if leaf.kind == OperationKind.INSTITUTION:
        return None in wanted
    return leaf.kind == OperationKind.MAILBOX and MailboxId(leaf.subject) in wanted
