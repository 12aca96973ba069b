"""A hand in the database: the doctor names the row that is not what it was. Spec: spec/operation.md, 8."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa
from trio.testing import MockClock

from node.audit.log import LeafRef
from node.doctor import examine
from node.vault import schema
from node.vault.database import Transaction
from protocol.details import Details
from protocol.logleaf import EventKind
from tests.post.harness import Federation, Institution, settled

LETTERS, LEAVES, TILES = schema.letters, schema.log_leaves, schema.log_tiles


async def found(institution: Institution) -> dict[str, str]:
    """What the doctor says of log and letters."""
    checks = {check.name: check.code for check in await examine(institution.node)}
    return {name: checks[name] for name in ("log", "letters")}


def swap(connection: sa.Connection, table: sa.Table, key: str, column: str) -> None:
    """Two rows exchange what stands in one column."""
    name, value = table.c[key], table.c[column]
    one, *_, other = connection.execute(sa.select(name, value).order_by(name)).all()
    assert one[1] != other[1]
    for row, taken in ((one[0], other[1]), (other[0], one[1])):
        connection.execute(table.update().where(name == row).values({column: taken}))


def swap_letters(connection: sa.Connection) -> None:
    swap(connection, LETTERS, "id", "sealed")


def swap_mailboxes(connection: sa.Connection) -> None:
    swap(connection, LETTERS, "id", "mailbox")


def delete_letter(connection: sa.Connection) -> None:
    connection.execute(LETTERS.delete().where(LETTERS.c.id == sa.select(sa.func.max(LETTERS.c.id)).scalar_subquery()))


def swap_leaves(connection: sa.Connection) -> None:
    swap(connection, LEAVES, "position", "leaf")


def swap_tags(connection: sa.Connection) -> None:
    tags = connection.execute(sa.select(LEAVES.c.position).where(LEAVES.c.tag != bytes(16)).limit(1)).scalar_one()
    connection.execute(LEAVES.update().where(LEAVES.c.position == tags).values(tag=bytes([1]) * 16))


def delete_leaf(connection: sa.Connection) -> None:
    connection.execute(LEAVES.delete().where(LEAVES.c.position == 3))


def change_tile(connection: sa.Connection) -> None:
    hashes = connection.execute(sa.select(TILES.c.hashes)).scalar_one()
    connection.execute(TILES.update().values(hashes=bytes(32) + hashes[32:]))


@pytest.mark.parametrize(
    ("hand", "log", "letters"),
    [
        (swap_letters, "log_sound", "letters_misplaced"),
        (swap_mailboxes, "log_sound", "letters_misplaced"),
        (delete_letter, "log_sound", "letters_missing"),
        (swap_leaves, "log_entry_changed", "letters_there"),
        (swap_tags, "log_entry_changed", "letters_there"),
        (delete_leaf, "log_entries_missing", "letters_there"),
        (change_tile, "log_entry_changed", "letters_there"),
    ],
)
async def test_a_hand_in_the_database_is_noticed(
    autojump_clock: MockClock, tmp_path: Path, hand: Callable[[sa.Connection], None], log: str, letters: str
) -> None:
    async with Federation.opened(tmp_path) as federation:
        a = await federation.make("a")
        for name in ("anna", "bruno", "carla"):
            await a.add(name)
        await a.start()
        await a.send("anna", "bruno@a.example")
        await a.send("anna", "carla@a.example")
        await settled()
        await a.stop()
        assert await found(a) == {"log": "log_sound", "letters": "letters_there"}
        with a.node.database.engines.writer.begin() as connection:
            hand(connection)
        assert await found(a) == {"log": log, "letters": letters}


async def test_a_row_that_does_not_open_hides_no_other_letter(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with Federation.opened(tmp_path) as federation:
        a = await federation.make("a")
        await a.add("anna")
        await a.start()
        for _ in range(3):
            await a.send("anna", "anna@a.example")
        await settled()
        received = sorted(summary.stored.row for summary in await a.inbox("anna"))
        with a.node.database.engines.writer.begin() as connection:
            connection.execute(LETTERS.update().where(LETTERS.c.id == received[1]).values(sealed=bytes(100)))
        shown = {summary.stored.row: summary.problem for summary in await a.inbox("anna")}
        assert shown == {received[0]: "", received[1]: "damaged", received[2]: ""}
        await a.stop()


async def test_an_older_copy_that_was_put_back_is_told_of(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with Federation.opened(tmp_path) as federation:
        a = await federation.make("a")
        await a.add("anna")
        await a.close()
        database, copy = a.path / "vault.db", tmp_path / "copy.db"
        shutil.copy2(database, copy)
        await a.open()
        await a.add("bruno")
        await a.close()
        shutil.copy2(copy, database)
        await a.open()
        assert await found(a) == {"log": "log_began_anew", "letters": "letters_there"}


def break_a_tile_above(connection: sa.Connection) -> None:
    above = TILES.c.level == 1
    hashes = connection.execute(sa.select(TILES.c.hashes).where(above)).scalar_one()
    connection.execute(TILES.update().where(above).values(hashes=bytes(32) + hashes[32:]))


async def test_nothing_is_found_on_either_database_but_what_was_broken(
    autojump_clock: MockClock, tmp_path: Path, database_url: str
) -> None:
    """With more leaves than one tile holds."""

    def append(tx: Transaction, items: Sequence[int]) -> Sequence[LeafRef]:
        return [tx.log.append(EventKind.STARTED, Details(node=a.node.node_id)) for _ in items]

    async with Federation.opened(tmp_path) as federation:
        a = await federation.make("a", database=database_url)
        await a.add("anna")
        await a.start()
        await a.send("anna", "anna@a.example")
        await settled()
        await a.stop()
        await a.node.database.write_many(append, range(300))
        assert await found(a) == {"log": "log_sound", "letters": "letters_there"}
        with a.node.database.engines.writer.begin() as connection:
            break_a_tile_above(connection)
        assert await found(a) == {"log": "log_head_wrong", "letters": "letters_there"}
