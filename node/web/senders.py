"""Who wrote a letter, as the directory and not the letter says, and on whose word that counts. Spec: spec/web.md, 5."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from node.errors import StoreError
from node.trust.maintainer_rows import TRUSTED
from node.vault import schema
from node.vault.access import OpenMailbox
from protocol.entry import Act
from protocol.ids import NodeId
from protocol.letter import Letter

if TYPE_CHECKING:
    from node.app import Node

__all__ = ["Vouching", "WrittenBy", "name_of", "written_by"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vouching:
    """On whose word an institution is accepted here.

    is_own: it is this one. by_administrator: its 30 digits were compared by telephone. maintainers: names of trusted
    maintainers whose endorsement of it is live. is_alarmed: it showed two histories.
    """

    is_own: bool
    by_administrator: bool
    maintainers: tuple[str, ...]
    is_alarmed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenBy:
    """The sender of a letter. name: empty where its entry is not here any more; details: profession and the like."""

    address: str
    name: str
    details: str
    institution: str
    vouching: Vouching


def written_by(connection: sa.Connection, node: Node, letter: Letter) -> WrittenBy:
    """Look the sender of a checked letter up."""
    sender = NodeId(letter.sender.node)
    entry = node.directory.mailbox_of(connection, sender, letter.sender.mailbox)
    try:
        institution = node.directory.institution(connection, sender).names[0]
    except StoreError:  # its feed is not followed any more
        institution = ""
    told = () if entry is None else (entry.profession, entry.specialty, entry.unit, entry.town)
    return WrittenBy(
        address=letter.sender.address,
        name="" if entry is None else entry.name,
        details=", ".join(text for text in told if text),
        institution=institution,
        vouching=_vouching(connection, node, sender),
    )


def name_of(connection: sa.Connection, node: Node, opened: OpenMailbox) -> str:
    """Whom a mailbox of this node belongs to, as the directory says it."""
    entry = node.directory.own_mailbox(connection, opened.id)
    return opened.address if entry is None else entry.name


def _vouching(connection: sa.Connection, node: Node, sender: NodeId) -> Vouching:
    peers = schema.peers
    row = connection.execute(
        sa.select(peers.c.basis, peers.c.status, peers.c.alarm).where(peers.c.node_id == sender)
    ).one_or_none()
    now_ms = node.world.now_ms()
    maintainers = []
    rows = node.trust.maintainers
    names = {item.node_id: item.entry.names[0] for item in rows.all(connection) if item.status == TRUSTED}
    for view in rows.views(connection):
        standing = view.standings.get(sender)
        if (
            standing is not None
            and standing.act is Act.ENDORSE
            and not view.frozen
            and (standing.until_ms or 0) > now_ms
        ):
            maintainers.append(names.get(view.chain.node_id, view.chain.node_id.text[:12]))
    return Vouching(
        is_own=sender == node.node_id,
        by_administrator=row is not None and row.status == "accepted" and row.basis == "administrator",
        maintainers=tuple(sorted(maintainers)),
        is_alarmed=row is not None and row.alarm is not None,
    )
