"""What tests of epochs look at: heads, first leaves, evidence by epoch, alarms."""

from __future__ import annotations

import sqlalchemy as sa
import trio

from node.audit.epochs import OwnHead
from node.audit.log import LeafRef, read_evidence
from node.vault import schema
from protocol.checkpoint import CheckpointVerifier, parse_origin, peek_checkpoint
from protocol.details import Details, decode_details
from protocol.evidence import Evidence, decode_evidence, verify_evidence
from protocol.logleaf import EventKind, LogLeaf
from tests.post.harness import Federation, Institution

__all__ = ["LONG_S", "alarms", "deposited_epochs", "first_leaf", "held_epoch", "log_kinds", "own_heads", "relink"]

LONG_S = 300


def received_evidence(institution: Institution) -> list[Evidence]:
    """All evidence that others gave to an institution."""

    def read(connection: sa.Connection) -> list[Evidence]:
        table, keys = schema.peer_evidence, institution.node.keys
        rows = connection.execute(sa.select(table.c.id, table.c.sealed))
        return [decode_evidence(keys.open("peer_evidence", row.id, "sealed", row.sealed)) for row in rows]

    return institution.node.database.read_now(read)


def deposited_epochs(sender: Institution, recipient: Institution, letter_id: bytes) -> list[int]:
    """The epochs of the recipient's log from which the sender holds verified `deposited` evidence of a letter."""
    verifier = CheckpointVerifier(recipient.node.node_id, recipient.node.keyring.chain.log_keys())
    found = []
    for evidence in received_evidence(sender):
        verified = verify_evidence(evidence, verifier)
        if verified.kind is EventKind.DEPOSITED and verified.details.letter == letter_id:
            found.append(parse_origin(verified.checkpoint.origin)[2])
    return sorted(found)


def log_kinds(institution: Institution) -> set[EventKind]:
    """The kinds of all leaves of the own log."""

    def read(connection: sa.Connection) -> set[EventKind]:
        return {LogLeaf.decode(leaf).kind for leaf in connection.execute(sa.select(schema.log_leaves.c.leaf)).scalars()}

    return institution.node.database.read_now(read)


def own_heads(institution: Institution) -> list[OwnHead]:
    """The heads of all epochs of the own log."""

    def read(connection: sa.Connection) -> list[OwnHead]:
        table = schema.log_epochs
        return [
            OwnHead.of(peek_checkpoint(note))
            for note in connection.execute(sa.select(table.c.note).order_by(table.c.epoch)).scalars()
        ]

    return institution.node.database.read_now(read)


def first_leaf(institution: Institution, epoch: int) -> tuple[EventKind, Details]:
    """The first leaf of an epoch of the own log."""
    evidence = institution.node.database.read_now(read_evidence, institution.node.keys, LeafRef(epoch, 0))
    assert evidence is not None
    return EventKind(int.from_bytes(evidence.leaf[1:3], "big")), decode_details(evidence.details)


def alarms(*institutions: Institution) -> list[str]:
    """Whom somebody accuses of two histories."""
    return [
        peer.institution
        for institution in institutions
        for peer in institution.node.database.read_now(institution.node.peers.all)
        if peer.alarm is not None
    ]


def held_epoch(holder: Institution) -> int:
    """The epoch of the one peer's log whose head is held."""
    (peer,) = holder.node.database.read_now(holder.node.peers.all)
    assert peer.log_head is not None
    return parse_origin(peek_checkpoint(peer.log_head).origin)[2]


async def relink(federation: Federation) -> None:
    """Cut all links and let them be made again, so that each side shows its newest heads."""
    await federation.hub.cut()
    federation.hub.mend()
    await trio.sleep(LONG_S)
