"""What `coffre doctor` reads row by row: is each entry of the log the one that was signed, each letter in its place?

Spec: spec/operation.md, 8. A hand in the database, a disk that errs, rows of an older copy: the database's own check
of itself sees none of it.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from node.audit.log import NO_TAG, began_anew_at_ms
from node.audit.tiles import TILE_WIDTH
from node.doctor_findings import Check
from node.errors import CoffreError
from node.expiry import DAY_MS
from node.vault import schema
from node.vault.sealing import RowKeys
from protocol.checkpoint import Checkpoint, CheckpointVerifier
from protocol.errors import RemoteProtocolError
from protocol.ids import MailboxId
from protocol.logleaf import EventKind
from protocol.merkle import CompactRange, leaf_hash, root_of

if TYPE_CHECKING:
    from node.app import Node

__all__ = ["check_letters", "check_log"]

_STREAMED: Final = {"yield_per": 1000}
# Somebody who put a copy back, or whose disk did, looks within that time.
_TOLD_FOR_MS: Final = 14 * DAY_MS
_FIRST_EPOCH: Final = 1
_KIND, _TAG = slice(1, 3), slice(11, 27)
"""Where they stand in a leaf: spec/evidence.md, 5."""
_HASH_BYTES: Final = 32


async def check_log(node: Node) -> Check:
    """Every leaf and every hash of all epochs, up to the signed heads."""

    def recompute(connection: sa.Connection) -> Check:
        table = schema.log_epochs
        verifier = CheckpointVerifier(node.node_id, node.keyring.chain.log_keys())
        total = epoch = 0
        for row in connection.execute(sa.select(table).order_by(table.c.epoch)).all():
            head = verifier.open(row.note)
            if (row.size, CompactRange.from_bytes(row.size, row.frontier).root()) != (head.size, head.root):
                return Check(name="log", code="log_head_wrong", values={"epoch": row.epoch})
            wrong = _wrong_leaf(connection, row.epoch, head)
            if wrong is not None:
                return wrong
            total, epoch = total + row.size, row.epoch
        anew_ms = began_anew_at_ms(connection)
        if epoch > _FIRST_EPOCH and anew_ms > node.world.now_ms() - _TOLD_FOR_MS:
            days = (node.world.now_ms() - anew_ms) // DAY_MS
            return Check(name="log", code="log_began_anew", values={"days": days})
        return Check(name="log", code="log_sound", values={"count": total})

    return await node.database.read(recompute)


def _wrong_leaf(connection: sa.Connection, epoch: int, head: Checkpoint) -> Check | None:
    leaves = schema.log_leaves
    count = connection.execute(
        sa.select(sa.func.count()).select_from(leaves).where(leaves.c.epoch == epoch)
    ).scalar_one()
    if count != head.size:
        values: dict[str, object] = {"epoch": epoch, "count": count, "size": head.size}
        return Check(name="log", code="log_entries_missing", values=values)
    tree = CompactRange()
    query = sa.select(leaves.c.position, leaves.c.leaf, leaves.c.tag, leaves.c.sealed.is_(None).label("is_erased"))
    query = query.where(leaves.c.epoch == epoch).order_by(leaves.c.position)
    with (
        connection.execute(query, execution_options=_STREAMED) as rows,
        closing(_hashes(connection, epoch, 0)) as hashes,
    ):
        for row in rows:
            hashed = leaf_hash(row.leaf)
            is_own_tag = row.tag == row.leaf[_TAG] or (row.is_erased and row.tag == NO_TAG)
            if row.position != tree.size or hashed != next(hashes, None) or not is_own_tag:
                return Check(name="log", code="log_entry_changed", values={"epoch": epoch, "position": row.position})
            tree.append(hashed)
    if tree.root() != head.root or not _tiles_rise(connection, epoch):
        return Check(name="log", code="log_head_wrong", values={"epoch": epoch})
    return None


def _tiles(connection: sa.Connection, epoch: int, level: int) -> Generator[bytes, None, None]:
    tiles = schema.log_tiles
    query = sa.select(tiles.c.hashes).where(tiles.c.epoch == epoch, tiles.c.level == level)
    with connection.execute(query.order_by(tiles.c.position), execution_options=_STREAMED) as rows:
        yield from rows.scalars()


def _hashes(connection: sa.Connection, epoch: int, level: int) -> Generator[bytes, None, None]:
    with closing(_tiles(connection, epoch, level)) as tiles:
        for content in tiles:
            yield from _split(content)


def _split(content: bytes) -> list[bytes]:
    return [content[at : at + _HASH_BYTES] for at in range(0, len(content), _HASH_BYTES)]


def _tiles_rise(connection: sa.Connection, epoch: int) -> bool:
    """Whether each hash above the leaves is the root of the full tile below it."""
    level, has_more = 1, True
    while has_more:
        above = list(_hashes(connection, epoch, level))
        full = (tile for tile in _tiles(connection, epoch, level - 1) if len(tile) == TILE_WIDTH * _HASH_BYTES)
        if above != [
            root_of([tile[at : at + _HASH_BYTES] for at in range(0, len(tile), _HASH_BYTES)]) for tile in full
        ]:
            return False
        level, has_more = level + 1, bool(above)
    return True


async def check_letters(node: Node) -> Check:
    """Each letter opens in its row and lies in its own mailbox; each deposit on record has its letter."""

    def look(connection: sa.Connection) -> Check:
        letters = schema.letters
        query = sa.select(letters.c.id, letters.c.mailbox, letters.c.sealed)
        count = 0
        with connection.execute(query, execution_options=_STREAMED) as rows:
            for row in rows:
                count += 1
                if not _is_in_place(node.keys, row.id, row.mailbox, row.sealed):
                    return Check(name="letters", code="letters_misplaced", values={"letter": row.id.hex()})
        missing = _deposits_without_letter(connection)
        if missing:
            return Check(name="letters", code="letters_missing", values={"missing": missing})
        return Check(name="letters", code="letters_there", values={"count": count})

    return await node.database.read(look)


def _is_in_place(keys: RowKeys, row: bytes, mailbox: bytes, sealed: bytes) -> bool:
    try:
        fields = keys.open_map("letters", row, "sealed", sealed)
        return keys.blind("mailbox", MailboxId(fields.fixed("mb", MailboxId.LENGTH))) == mailbox
    except (CoffreError, RemoteProtocolError):
        return False


def _deposits_without_letter(connection: sa.Connection) -> int:
    """Leaves `deposited` whose letter is neither here nor erased: erasing empties the leaf."""
    leaves, letters = schema.log_leaves, schema.letters
    kind = EventKind.DEPOSITED.to_bytes(2, "big")
    query = (
        sa.select(sa.func.count())
        .select_from(leaves)
        .where(
            leaves.c.sealed.is_not(None),
            sa.func.substr(leaves.c.leaf, _KIND.start + 1, len(kind)) == sa.literal(kind, sa.LargeBinary()),
            ~sa.exists().where(letters.c.tag == leaves.c.tag),
        )
    )
    return int(connection.execute(query).scalar_one())
