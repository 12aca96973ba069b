"""A node backed up, and restored from the file, on both databases. Spec: spec/backup.md, 1 to 6."""

from __future__ import annotations

import os
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import trio
import trio.testing

from node.backup import writing
from node.backup.reading import check_backup, with_passphrase
from node.backup.records import Rows
from node.backup.restoring import restore_backup
from node.backup.writing import BackupWriter
from node.errors import BackupError, FolderError, StoreError, WrongSecretError
from node.vault import schema
from node.vault.engine import open_engines
from node.vault.migrate import create_schema
from node.vault.payloads import FilePayloadStore
from node.vault.search.directory_search import SearchQuery
from node.vault.states import DeliveryState, LetterFolder, LetterState
from protocol.crypto import Secret
from tests.backup.copies import drop_tables, every_row, restore, what_is_wrong, write_backup
from tests.post.harness import Federation, Institution, settled

BYTES = bytes(range(256)) * 3000


async def with_mail(federation: Federation, folder: Path, database_url: str = "") -> Institution:
    """One institution that sent itself a letter in the row and one in a file."""
    a = await federation.make("a", database=database_url)
    await a.add("anna")
    await a.add("alma")
    await a.start()
    document = folder / "document.bin"
    document.write_bytes(BYTES)
    await a.send("anna", "alma@a.example", subject="Court")
    await a.send("anna", "alma@a.example", subject="Long", files=[document])
    await settled()
    return a


async def test_round_trip(autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str) -> None:
    async with Federation.opened(tmp_path) as federation:
        a = await with_mail(federation, tmp_path, database_url)
        backup = tmp_path / "a.backup"
        summary = write_backup(a, backup)
        rows = every_row(a)
        assert summary.rows == sum(map(len, rows.values()))
        assert (summary.payloads, summary.gone, summary.epoch) == (1, 0, 1)
        assert stat.S_IMODE(backup.stat().st_mode) == 0o600
        assert sorted(path.name for path in tmp_path.iterdir() if ".new" in path.name) == []
        assert check_backup(backup, lambda _header: a.node.keyring.data_key) == summary
        await a.stop()
        await a.close()
        if database_url.startswith("postgresql"):
            with pytest.raises(BackupError, match="not empty"):
                restore(a, backup, tmp_path / "restored")
            assert not (tmp_path / "restored").exists()
            drop_tables(database_url)
        assert restore(a, backup, tmp_path / "restored") == summary
        assert not [path for path in tmp_path.iterdir() if "restoring" in path.name]
        await a.open()
        after = every_row(a)
        # Opening a restored folder begins an epoch, and nothing else.
        for table in ("log_epochs", "log_leaves", "log_tiles"):
            assert set(rows.pop(table)) < set(after.pop(table))
        assert after == rows
        assert not a.node.folder.restored_file.exists()
        found = await a.node.database.read(a.node.directory.search.page, SearchQuery(text="alma"))
        assert [match.shown.address for match in found.matches] == ["alma@a.example"]
        opened = [await a.node.reading.open(a.people["alma"], letter.stored) for letter in await a.inbox("alma")]
        (long,) = (letter for letter in opened if letter.letter.subject == "Long")
        assert long.content.save_attachment(0, tmp_path, lambda _done: None).read_bytes() == BYTES
        assert await what_is_wrong(a) == []


async def test_only_the_passphrase_opens_it(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with Federation.opened(tmp_path) as federation:
        a = await with_mail(federation, tmp_path)
        write_backup(a, tmp_path / "a.backup")
        passphrase = Secret((tmp_path / "a.passphrase").read_bytes().strip())
        assert check_backup(tmp_path / "a.backup", with_passphrase(passphrase)).institution == "a"
        with pytest.raises(WrongSecretError):
            check_backup(tmp_path / "a.backup", with_passphrase(Secret(b"another")))
        sealed = (tmp_path / "a.backup").read_bytes()
        assert all(word not in sealed for word in (b"anna", b"a.example", b"coffre.toml"))


async def test_nothing_is_overwritten(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with Federation.opened(tmp_path) as federation:
        a = await with_mail(federation, tmp_path)
        backup, key = tmp_path / "a.backup", a.node.keyring.data_key
        backup.write_bytes(b"something else")
        with pytest.raises(BackupError, match="never overwritten"):
            write_backup(a, backup)
        assert backup.read_bytes() == b"something else"
        with pytest.raises(BackupError, match="No such file"):
            write_backup(a, tmp_path / "missing" / "a.backup")
        write_backup(a, tmp_path / "second.backup")
        with pytest.raises(FolderError, match="not empty"):
            restore_backup(tmp_path / "second.backup", a.path, lambda _header: key)
        with pytest.raises(FolderError, match="not empty"):
            restore_backup(tmp_path / "second.backup", backup, lambda _header: key)
        (tmp_path / "empty").mkdir()
        restore_backup(tmp_path / "second.backup", tmp_path / "empty", lambda _header: key)
        assert stat.S_IMODE((tmp_path / "empty").stat().st_mode) == 0o700


async def test_damaged_backup_leaves_nothing(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with Federation.opened(tmp_path) as federation:
        a = await with_mail(federation, tmp_path)
        backup = tmp_path / "a.backup"
        write_backup(a, backup)
        backup.write_bytes(backup.read_bytes()[:-1])
        before = sorted(tmp_path.iterdir())
        with pytest.raises(BackupError, match="damaged"):
            restore(a, backup, tmp_path / "restored")
        assert sorted(tmp_path.iterdir()) == before


class Disk(FilePayloadStore):
    """A disk from which every payload file vanishes at its second chunk."""

    def read_chunk(self, name: bytes, index: int, length: int) -> bytes:
        if index:
            raise StoreError(f"payload {name.hex()} is missing")
        return super().read_chunk(name, index, length)


@pytest.mark.parametrize("row_is_gone", [False, True], ids=["row there", "row gone"])
async def test_payload_that_vanished(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row_is_gone: bool
) -> None:
    async with Federation.opened(tmp_path) as federation:
        a = await with_mail(federation, tmp_path)
        a.node.store.__class__ = Disk
        writer = BackupWriter(a.node.backup_source(), tmp_path / "a.backup")
        if row_is_gone:
            monkeypatch.setattr(BackupWriter, "_is_counted_on", lambda _writer, _name: False)
        summary = writer.write()
        assert (summary.payloads, summary.gone) == (0, 1)
        assert (len(writer.removed), len(writer.missing)) == ((1, 0) if row_is_gone else (0, 1))
        await a.stop()
        await a.close()
        restore(a, tmp_path / "a.backup", tmp_path / "restored")
        await a.open()
        assert await what_is_wrong(a) == []
        states = {letter.stored.state for letter in await a.inbox("alma")}
        assert states == {LetterState.UNREAD, LetterState.WITHDRAWN}


async def test_letters_that_flow_meanwhile(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    """The backup stops after its first table until letters were deposited: none of them is in it, by half or whole."""
    async with Federation.opened(tmp_path) as federation:
        a, b = await federation.make("a"), await federation.make("b", database=database_url)
        await a.add("anna")
        await b.add("bruno")
        await federation.acquaint()
        await federation.start()
        await settled()
        before = await a.send("anna", "bruno@b.example", subject="Avant")
        await settled()
        begun, goes_on = trio.Event(), threading.Event()
        table = writing._table

        def slow_table(connection: sa.Connection, which: sa.Table) -> Iterator[Rows]:
            yield from table(connection, which)
            if not goes_on.is_set():
                trio.from_thread.run_sync(begun.set)
                goes_on.wait()

        monkeypatch.setattr(writing, "_table", slow_table)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, write_backup, b, tmp_path / "b.backup")
            await begun.wait()
            during = [await a.send("anna", "bruno@b.example", subject=f"Pendant {number}") for number in range(5)]
            await settled()
            assert [state for letter in during for state in await a.states("anna", letter)] == [
                DeliveryState.DEPOSITED
            ] * len(during)
            goes_on.set()
        assert len(await b.inbox("bruno")) == 6
        await b.stop()
        await b.close()
        if database_url.startswith("postgresql"):
            drop_tables(database_url)
        restore(b, tmp_path / "b.backup", tmp_path / "restored")
        await b.open()
        (letter,) = await b.inbox("bruno")
        assert letter.letter is not None
        assert letter.letter.letter_id == before.letter_id
        rows = every_row(b)
        assert len(rows["seen_deliveries"]) == len(rows["seen_envelopes"]) == len(rows["payloads"]) == 1
        assert await what_is_wrong(b) == []


def first_columns(letters: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Rows of letters without what only a mailbox's index and its unread ladder note, for what arrives from now on."""
    later = {"indexed", "ladder_at_ms"}
    kept = [index for index, column in enumerate(schema.letters.columns) if column.name not in later]
    return [tuple(row[index] for index in kept) for row in letters]


def as_of_0001(tmp_path: Path) -> Callable[[sa.Connection, sa.Table], Iterator[Rows]]:
    """How the first version archived a table: without the columns that came later, entries with the operation that now
    stands in the journal alone; tables of later ones not at all.
    """
    engines = open_engines(f"sqlite:///{tmp_path / 'first.db'}")
    with engines.writer.begin() as connection:
        create_schema(connection, "0001")
        inspector = sa.inspect(connection)
        columns = {
            name: {column["name"] for column in inspector.get_columns(name)} for name in inspector.get_table_names()
        }
    engines.close()
    now = writing._table

    def archived(connection: sa.Connection, table: sa.Table) -> Iterator[Rows]:
        known = columns.get(table.name)
        if known is None:
            return
        journal = schema.feed_operations
        operations: dict[tuple[Any, Any], bytes] = {
            (bytes(row.node_id), row.position): bytes(row.operation)
            for row in connection.execute(sa.select(journal))
            if table is schema.feed_entries
        }
        for record in now(connection, table):
            rows = [{name: row[name] for name in row if name in known} for row in record.rows]
            if operations:
                rows = [{**row, "operation": operations[row["node_id"], row["position"]]} for row in rows]
            yield Rows(record.table, rows)

    return archived


async def test_leftovers_of_a_killed_backup_go_with_the_next_one(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with Federation.opened(tmp_path) as federation:
        a = await federation.make("a")
        ended = subprocess.Popen(["true"])
        ended.wait()
        dead, living = (tmp_path / f".a.backup.{pid}.new" for pid in (ended.pid, os.getppid()))
        for path in (dead, living):
            path.write_bytes(b"half a backup")
        write_backup(a, tmp_path / "a.backup")
        assert (dead.exists(), living.exists()) == (False, True)


async def test_schema_of_a_newer_program_is_refused(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Federation.opened(tmp_path) as federation:
        a = await with_mail(federation, tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr(writing, "HEAD_REVISION", "9999")
            write_backup(a, tmp_path / "newer.backup")
        with pytest.raises(StoreError, match="newer version"):
            restore(a, tmp_path / "newer.backup", tmp_path / "restored")
        with monkeypatch.context() as patch:
            patch.setattr(writing, "HEAD_REVISION", "0001")
            patch.setattr(writing, "_table", as_of_0001(tmp_path))
            write_backup(a, tmp_path / "older.backup")
        rows = every_row(a)
        await a.stop()
        await a.close()
        restore(a, tmp_path / "older.backup", tmp_path / "restored")
        await a.open()
        # All that the first version knew of a letter; its mailbox's own index is made again, not restored.
        assert first_columns(every_row(a)["letters"]) == first_columns(rows["letters"])
        assert [row for row in await a.inbox("alma") if row.stored.folder is LetterFolder.INBOX]
        with a.node.database.engines.reader.connect() as connection:
            assert sa.inspect(connection).get_indexes(schema.outbox.name)
        # What a later version notes beside entries is noted while it is brought up to date.
        assert every_row(a)["feed_entries"] == rows["feed_entries"]
