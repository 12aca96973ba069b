"""An old backup does not bring back what was erased after it. Spec: spec/retention.md, 7."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import trio.testing

from node.backup.restoring import restore_backup
from node.errors import BackupError
from node.retention.holds import NewHold
from node.vault import schema
from protocol.logleaf import EventKind
from tests.backup.copies import drop_tables, what_is_wrong, write_backup
from tests.post.harness import Federation, Institution, settled
from tests.retention.years import erase, hold, leaves, pair, rows


async def subjects(institution: Institution, local: str) -> list[str]:
    return sorted(summary.letter.subject for summary in await institution.inbox(local) if summary.letter is not None)


async def some_letters(federation: Federation, a: Institution, b: Institution, folder: Path) -> Path:
    """Three letters at b, a backup, and of one of them an erasure after it. The backup."""
    document = folder / "scan.bin"
    document.write_bytes(bytes(600_000))
    for subject in ("une", "deux", "trois"):
        await a.send("anna", "bruno@b.example", subject=subject, files=[document])
    await settled()
    backup = folder / "b.backup"
    write_backup(b, backup)
    await erase(b, "bruno", "deux")
    await settled()
    return backup


async def test_a_restored_backup_erases_again_with_the_list(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with pair(tmp_path, database_url) as (federation, a, b):
        backup = await some_letters(federation, a, b, tmp_path)
        exported = tmp_path / "b.erasures"
        assert await b.node.erasures.export(exported) == 1
        with pytest.raises(BackupError, match="never overwritten"):
            await b.node.erasures.export(exported)
        data_key = b.node.keyring.data_key
        await b.stop()
        await b.close()
        for erasures, left in ((None, ["deux", "trois", "une"]), (exported, ["trois", "une"])):
            if not database_url.startswith("sqlite"):
                drop_tables(database_url)
            folder = tmp_path / f"restored-{len(left)}"
            restore_backup(backup, folder, lambda _header: data_key, erasures=erasures)
            b.path = folder
            await b.open()
            assert await subjects(b, "bruno") == left
            assert await what_is_wrong(b) == []
            if erasures is None:
                await b.close()
        kinds = [kind for kind, _ in leaves(b)]
        assert kinds.count(EventKind.ERASURES_REPLAYED) == 1
        assert kinds.count(EventKind.BACKUP_RESTORED) == 1
        assert len(rows(b, schema.payloads)) == len(list(b.node.store.names())) == 2
        assert b.node.folder.erasures_file.read_bytes() != b""
        await b.start()
        # Peers offer again what they delivered after the backup, and know nothing of erasures: it stays away.
        await trio.sleep(3 * 3600)
        assert await subjects(b, "bruno") == ["trois", "une"]


async def test_an_old_database_under_the_folder_learns_from_its_file(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with pair(tmp_path, "sqlite") as (_, a, b):
        for subject in ("une", "deux", "trois", "quatre"):
            letter = await a.send("anna", "bruno@b.example", subject=subject)
            await settled()
            await b.read("bruno", letter)
        await settled()
        await erase(b, "bruno", "une")
        await b.stop()
        await b.close()
        shutil.copy(b.path / "vault.db", tmp_path / "old.db")
        await b.open()
        await hold(b, NewHold(reason="plus tard", until_ms=1))
        await erase(b, "bruno", "deux")
        await erase(b, "bruno", "trois")
        await b.close()
        for name in ("vault.db-wal", "vault.db-shm"):
            (b.path / name).unlink(missing_ok=True)
        shutil.copy(tmp_path / "old.db", b.path / "vault.db")
        await b.open()
        assert await subjects(b, "bruno") == ["quatre"]
        assert len(rows(b, schema.erasures)) == 3
        again = b.node.folder.erasures_file.read_bytes()
        await b.close()
        await b.open()
        assert b.node.folder.erasures_file.read_bytes() == again
        assert await b.node.erasures.replay(b.node.folder.erasures_file) == 0


@pytest.mark.parametrize("at", ["magic", "node", "length", "box", "swapped", "left out"])
async def test_a_list_that_was_changed_is_refused(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, at: str
) -> None:
    async with pair(tmp_path, "sqlite") as (federation, a, b):
        await some_letters(federation, a, b, tmp_path)
        await erase(b, "bruno", "une")
        await erase(b, "bruno", "trois")
        good = b.node.folder.erasures_file.read_bytes()
        start, records = good[:50], []
        rest = good[50:]
        while rest:
            length = 4 + int.from_bytes(rest[:4], "big")
            records.append(rest[:length])
            rest = rest[length:]
        assert len(records) == 3
        bad = {
            "magic": b"x" + good[1:],
            "node": good[:20] + bytes([good[20] ^ 1]) + good[21:],
            "length": start + b"\xff" + good[51:],
            "box": good[:-1] + bytes([good[-1] ^ 1]),
            "swapped": start + records[1] + records[0] + records[2],
            "left out": start + records[0] + records[2],
        }[at]
        file = tmp_path / "bad.erasures"
        file.write_bytes(bad)
        with pytest.raises(BackupError):
            await b.node.erasures.replay(file)
        file.write_bytes(good)
        assert await b.node.erasures.replay(file) == 0
