"""What must hold at the end of every history, once the lines are up and the nodes had time.

1. Nothing accepted is lost: each recipient's delivery ended in one of the signed states.
2. Nothing is there twice: one inbox row, one leaf `deposited`, one leaf `opened` at most for a letter and a mailbox.
3. What the sender is shown is what lies in the recipient's vault.
4. Every head that a log ever released is a prefix of the log as it is now; nobody raised an alarm.
5. All evidence verifies with nothing but the evidence file.
6. Payloads: uses counted right, none missing, none left over, quotas add up.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any, Final

import sqlalchemy as sa

from node.audit.log import LeafRef, read_evidence
from node.vault import schema
from node.vault.evidence_export import export_evidence
from node.vault.reading import LetterSummary, StoredLetter
from node.vault.states import DeliveryState, LetterFolder, LetterState, OutboxState, PayloadState
from protocol.checkpoint import CheckpointVerifier, peek_checkpoint
from protocol.evidence import verify_evidence
from protocol.evidence_file import parse_evidence_file, write_evidence_file
from protocol.evidence_report import verify_evidence_file
from protocol.ids import NodeId
from protocol.logleaf import EventKind
from protocol.merkle import CompactRange, leaf_hash
from protocol.payload import Descriptor, verify_chunk
from tests.simulated.federation import Simulation
from tests.simulated.history import Player
from tests.simulated.house import House

__all__ = ["check_letters", "check_logs", "check_payloads"]

_ALL: Final = 100_000
# What may lie in the recipient's inbox for each state that the sender is shown; None: nothing.
_IN_THE_INBOX: Final[dict[DeliveryState, tuple[LetterState | None, ...]]] = {
    DeliveryState.DEPOSITED: (LetterState.UNREAD,),
    DeliveryState.OPENED: (LetterState.OPENED,),
    DeliveryState.UNREADABLE: (LetterState.UNREADABLE,),
    DeliveryState.WITHDRAWN: (LetterState.WITHDRAWN, None),
    DeliveryState.REFUSED: (None,),
    DeliveryState.EXPIRED: (None,),
}
_PROOF: Final = {
    DeliveryState.DEPOSITED: EventKind.DEPOSITED,
    DeliveryState.OPENED: EventKind.OPENED,
    DeliveryState.UNREADABLE: EventKind.UNREADABLE,
    DeliveryState.WITHDRAWN: EventKind.WITHDRAWN,
    DeliveryState.REFUSED: EventKind.REFUSED,
    DeliveryState.EXPIRED: EventKind.EXPIRED,
}


async def _letters(house: House, folder: LetterFolder) -> list[tuple[str, LetterSummary]]:
    found = []
    for local, opened in house.people.items():
        page = await house.node.reading.page(opened, folder, limit=_ALL)
        found += [(f"{local}@{house.name}.example", summary) for summary in page]
    return found


# -- 1, 2, 3, 5


async def check_letters(simulation: Simulation, player: Player) -> None:
    """Every letter at both ends, with its evidence."""
    houses = {house.node.node_id: house for house in simulation.houses.values()}
    known: set[tuple[NodeId, bytes]] = set()
    for house in simulation.houses.values():
        for address, summary in await _letters(house, LetterFolder.SENT):
            assert summary.letter is not None, f"{address} cannot read its copy: {summary.problem}"
            known.add((house.node.node_id, summary.letter.letter_id))
            await _check_sent(houses, house, summary.stored)
    for sent in player.sent:
        sender = simulation.house_of(sent.sender).node.node_id
        assert (sender, sent.accepted.letter_id) in known, f"{sent.sender} lost an accepted letter"
    for house in simulation.houses.values():
        for address, summary in await _letters(house, LetterFolder.INBOX):
            if summary.stored.state is LetterState.WITHDRAWN:
                continue
            slip = summary.stored.slip
            assert (slip.sender_node, slip.letter_id) in known, f"{address} has a letter that nobody sent"
            _check_content(address, house, summary)
            await _check_evidence(house, summary.stored)
        assert not await house.node.database.read(_withdrawing), f"{house.name} never got an answer to a withdrawal"


def _withdrawing(connection: sa.Connection) -> list[bytes]:
    table = schema.outbox
    return list(connection.execute(sa.select(table.c.id).where(table.c.state == OutboxState.WITHDRAWING)).scalars())


async def _check_sent(houses: dict[NodeId, House], house: House, stored: StoredLetter) -> None:
    proved = await _check_evidence(house, stored)
    held = await house.node.timelines.evidence(stored)
    assert held.deliveries
    for delivery in held.deliveries:
        state = delivery.state
        where = f"{house.name} to {delivery.address}"
        assert state is not DeliveryState.WAITING, f"{where}: still waiting"
        assert (_PROOF[state], delivery.mailbox) in proved, f"{where}: {state.word} without evidence"
        inbox = await houses[delivery.node].node.database.read(
            _inbox_states, houses[delivery.node], house.node.node_id, stored.slip.letter_id, delivery.mailbox
        )
        assert len(inbox) <= 1, f"{where}: shown twice"
        actual = LetterState(inbox[0]) if inbox else None
        assert actual in _IN_THE_INBOX[state], f"{where}: sender is shown {state.word}, recipient has {actual!r}"


def _inbox_states(connection: sa.Connection, house: House, sender: NodeId, letter: Any, mailbox: Any) -> list[int]:
    table, keys = schema.letters, house.node.keys
    query = sa.select(table.c.state).where(
        table.c.mailbox == keys.blind("mailbox", mailbox),
        table.c.letter == keys.blind("letter", sender, letter),
        table.c.folder == LetterFolder.INBOX,
    )
    return list(connection.execute(query).scalars())


async def _check_evidence(house: House, stored: StoredLetter) -> set[tuple[EventKind, Any]]:
    """Export, parse and verify the letter's evidence; returns which event is proved for which mailbox."""
    node = house.node
    made = await export_evidence(node.database, node.keys, node.directory, node.outbox, stored.row.hex())
    report = verify_evidence_file(parse_evidence_file(write_evidence_file(made)))
    assert report.ok, f"evidence of {house.name} does not verify: {report}"
    return {
        (event.verified.kind, event.verified.details.mailbox) for event in report.events if event.verified is not None
    }


def _check_content(address: str, house: House, summary: LetterSummary) -> None:
    """The letter and its attachments are whole."""
    assert summary.letter is not None, f"{address} cannot read a letter: {summary.problem}"
    content = house.node.database.read_now(
        house.node.reading._content, house.people[address.partition("@")[0]], summary.stored
    )
    for index, attachment in enumerate(summary.letter.attachments):
        digest = hashlib.sha256()
        for piece in content.attachment_pieces(index):
            digest.update(piece)
        assert digest.digest() == attachment.sha256, f"{address}: attachment damaged"


# -- 4


async def check_logs(simulation: Simulation) -> None:
    """Every log, and every head of it that anybody ever saw."""
    houses = list(simulation.houses.values())
    for house in houses:
        heads = set(house.heads) | {house.node.folder.head_file.read_bytes()}
        for other in houses:
            peers = await other.node.database.read(other.node.peers.all)
            heads |= {peer.log_head for peer in peers if peer.node_id == house.node.node_id and peer.log_head}
            assert not any(peer.alarm for peer in peers), f"{other.name} saw two histories"
        await house.node.database.read(_check_log, house, heads)


def _check_log(connection: sa.Connection, house: House, heads: set[bytes]) -> None:
    table = schema.log_leaves
    leaves = connection.execute(sa.select(table.c.epoch, table.c.position, table.c.leaf).order_by(table.c.position))
    tree, roots = CompactRange(), {}
    happened: Counter[tuple[Any, ...]] = Counter()
    verifier = CheckpointVerifier(house.node.node_id, house.node.keyring.chain.log_keys())
    for row in leaves.all():
        tree.append(leaf_hash(row.leaf))
        roots[tree.size] = tree.root()
        evidence = read_evidence(connection, house.node.keys, LeafRef(row.epoch, row.position))
        assert evidence is not None
        verified = verify_evidence(evidence, verifier)
        if verified.kind in (EventKind.DEPOSITED, EventKind.OPENED, EventKind.WITHDRAWN, EventKind.WITHDRAW_TOO_LATE):
            details = verified.details
            happened[verified.kind, details.peer, details.letter, details.mailbox] += 1
    twice = [key[0] for key, count in happened.items() if count > 1]
    assert not twice, f"{house.name} logged twice: {twice}"
    for note in heads:
        head = peek_checkpoint(note)
        verifier.open(note)
        assert roots[head.size] == head.root, f"{house.name} showed a head that is no prefix of its log"


# -- 6


async def check_payloads(simulation: Simulation) -> None:
    """Rows, files and quotas of all payloads."""
    for house in simulation.houses.values():
        await house.node.database.read(_check_payloads, house)


def _check_payloads(connection: sa.Connection, house: House) -> None:
    payloads, store = schema.payloads, house.node.store
    uses: Counter[bytes] = Counter()
    for table in (schema.letters, schema.outbox):
        uses.update(connection.execute(sa.select(table.c.payload).where(table.c.payload.is_not(None))).scalars().all())
    files = set(store.names())
    for row in connection.execute(sa.select(payloads)).all():
        assert row.uses == uses[row.id], f"{house.name}: a payload counts {row.uses} uses of {uses[row.id]}"
        if row.state != PayloadState.COMPLETE:
            continue
        descriptor = Descriptor.decode(row.descriptor)
        if row.data is not None:
            verify_chunk(descriptor, (), 0, row.data)
            continue
        assert row.id in files, f"{house.name}: a payload's file is missing"
        files.discard(row.id)
        hashes = [row.hashes[at : at + 32] for at in range(0, len(row.hashes), 32)]
        for index in range(descriptor.chunk_count):
            verify_chunk(descriptor, hashes, index, store.read_chunk(row.id, index, descriptor.chunk_length(index)))
    incoming = list((house.node.folder.payloads_folder / "incoming").iterdir())
    assert not files, f"{house.name}: {len(files)} payload files that nothing refers to"
    assert not incoming, f"{house.name}: {len(incoming)} incoming files that nothing refers to"
    _check_quotas(connection, house)


def _check_quotas(connection: sa.Connection, house: House) -> None:
    letters, payloads, mailboxes = schema.letters, schema.payloads, schema.mailboxes
    rows = connection.execute(
        sa.select(letters.c.mailbox, payloads.c.descriptor).join(payloads, payloads.c.id == letters.c.payload)
    ).all()
    used: Counter[bytes] = Counter()
    for row in rows:
        used[row.mailbox] += Descriptor.decode(row.descriptor).ciphertext_length
    for box in connection.execute(sa.select(mailboxes.c.id, mailboxes.c.address, mailboxes.c.used_bytes)).all():
        assert box.used_bytes == used[house.node.keys.blind("mailbox", box.id)], f"{box.address}: quota miscounted"
