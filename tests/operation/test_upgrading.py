"""A folder goes to a newer schema, with a copy before, and back. Spec: spec/operation.md, 7."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy as sa
import trio.testing
from alembic import command
from alembic.config import Config

from node.errors import StateError, StoreError
from node.folder import Folder
from node.operation import upgrading
from node.operation.upgrading import copies, open_schema, remove_old_copies, undo_upgrade
from node.vault import migrate as migrating
from node.vault.engine import Engines, open_engines
from node.vault.migrate import HEAD_REVISION, stored_revision
from tests.post.harness import Federation, Institution

OLDER = f"{int(HEAD_REVISION) - 1:04}"


def go_back(engines: Engines) -> str:
    """To the schema of the program before: what an upgrade finds."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrating.__file__).parent / "migrations"))
    with engines.writer.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "-1")
    found = stored_revision(engines)
    assert found is not None
    assert found < HEAD_REVISION
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder.create(tmp_path / "node")
    made.finish()
    return made


def filled(folder: Folder) -> Engines:
    """A database with something in it, of the schema before."""
    engines = open_engines(f"sqlite:///{folder.database_file}")
    assert open_schema(folder, engines).copy is None, "a new one has nothing to lose"
    with engines.writer.begin() as connection:
        connection.execute(sa.text("INSERT INTO node_state (name, sealed) VALUES ('x', x'01')"))
    go_back(engines)
    return engines


def names(path: Path) -> list[tuple[str]]:
    """What lies in node_state."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT name FROM node_state").fetchall()


def test_sqlite_is_copied_before_it_is_changed(folder: Folder) -> None:
    engines = filled(folder)
    before = stored_revision(engines)
    percents: list[int] = []
    done = open_schema(folder, engines, progress=percents.append)
    assert (done.before, done.after) == (before, HEAD_REVISION)
    assert stored_revision(engines) == HEAD_REVISION
    engines.close()
    assert done.copy == folder.upgrade_folder / f"before-{HEAD_REVISION}-from-{before}.db"
    assert percents[-1] == 100
    assert stat.S_IMODE(done.copy.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.upgrade_folder.stat().st_mode) == 0o700
    assert names(done.copy) == [("x",)]
    old = open_engines(f"sqlite:///{done.copy}")
    assert stored_revision(old) == before
    old.close()
    assert [path.name for path in folder.upgrade_folder.iterdir()] == [done.copy.name]


def test_the_copy_is_put_back_and_what_it_replaced_is_kept(folder: Folder) -> None:
    engines = filled(folder)
    before = stored_revision(engines)
    open_schema(folder, engines)
    with engines.writer.begin() as connection:
        connection.execute(sa.text("INSERT INTO node_state (name, sealed) VALUES ('later', x'02')"))
    engines.close()
    copy, kept = undo_upgrade(folder, "")
    assert names(folder.database_file) == [("x",)]
    assert sorted(names(kept)) == [("later",), ("x",)]
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder.database_file, kept)} == {0o600}
    # Forward again: the copy is made anew.
    engines = open_engines(f"sqlite:///{folder.database_file}")
    assert stored_revision(engines) == before
    assert open_schema(folder, engines).copy == copy
    engines.close()


def test_without_room_or_beside_a_running_node_nothing_is_changed(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines = filled(folder)
    before = stored_revision(engines)
    with folder.running():
        with pytest.raises(StateError, match="a node runs on it") as refused:
            open_schema(folder, engines)
        assert refused.value.hint == "stop the node first"
        with pytest.raises(StateError, match="a node runs"):
            undo_upgrade(folder, "")
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=1000))
        with pytest.raises(StoreError, match="MiB are free"):
            open_schema(folder, engines)
    folder.upgrade_folder.rmdir()
    folder.upgrade_folder.write_text("in the way")
    with pytest.raises(StoreError, match="the copy before the upgrade failed"):
        open_schema(folder, engines)
    assert stored_revision(engines) == before
    folder.upgrade_folder.unlink()
    with pytest.raises(StateError, match="no copy"):
        undo_upgrade(folder, "")
    engines.close()


def test_a_damaged_database_is_not_upgraded(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    engines = filled(folder)
    before = stored_revision(engines)

    def damaged(*_args: object) -> None:
        raise StoreError("the copy is damaged: row 3 missing")

    monkeypatch.setattr(upgrading, "_check", damaged)
    with pytest.raises(StoreError, match="damaged"):
        open_schema(folder, engines)
    assert stored_revision(engines) == before
    assert copies(folder) == []
    engines.close()


def test_an_older_program_refuses_a_newer_schema_and_names_the_copy(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines = filled(folder)
    open_schema(folder, engines)
    # As the older program: it knows neither the newest migration nor its number.
    monkeypatch.setattr(upgrading, "HEAD_REVISION", OLDER)
    monkeypatch.setattr(migrating, "HEAD_REVISION", OLDER)
    monkeypatch.setattr(migrating, "_is_known", lambda revision: revision <= OLDER)
    with pytest.raises(StoreError, match=f"newer version .{HEAD_REVISION}") as refused:
        open_schema(folder, engines)
    assert "coffre upgrade --undo" in refused.value.hint
    engines.close()
    undo_upgrade(folder, "")
    engines = open_engines(f"sqlite:///{folder.database_file}")
    assert open_schema(folder, engines).copy is None
    assert names(folder.database_file) == [("x",)]
    engines.close()


def test_copies_and_what_was_put_aside_go_after_thirty_days(folder: Folder) -> None:
    engines = filled(folder)
    open_schema(folder, engines)
    engines.close()
    for path in undo_upgrade(folder, ""):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    made_ms = 1_700_000_000_000
    assert remove_old_copies(folder, made_ms + 29 * 86_400_000) == 0
    assert remove_old_copies(folder, made_ms + 31 * 86_400_000) == 2
    assert list(folder.upgrade_folder.iterdir()) == []


def test_postgresql_asks_for_a_copy_first(folder: Folder, postgres_url: str) -> None:
    engines = open_engines(postgres_url)
    open_schema(folder, engines)
    before = go_back(engines)
    with pytest.raises(StateError, match=f"of version {before}") as refused:
        open_schema(folder, engines)
    assert "coffre upgrade --copied" in refused.value.hint
    assert stored_revision(engines) == before
    done = open_schema(folder, engines, copied=True)
    assert (done.before, done.after, done.copy) == (before, HEAD_REVISION, None)
    with pytest.raises(StateError, match="pg_restore"):
        undo_upgrade(folder, postgres_url)
    engines.close()


async def test_a_node_goes_on_after_its_upgrade_was_undone(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with Federation.pair(tmp_path) as (_, a, b):
        await a.send("anna", "bruno@b.example", subject="Avant")
        await trio.sleep(60)
        await a.stop()
        go_back(a.node.database.engines)
        await a.close()
        await a.open()
        assert [path.name[:11] for path in copies(a.node.folder)] == [f"before-{HEAD_REVISION}"]
        await a.log_in("anna")
        await a.start()
        await trio.sleep(60)
        await a.send("anna", "bruno@b.example", subject="Entre")
        await trio.sleep(60)
        assert await subjects(b) == ["Avant", "Entre"]
        await a.stop()
        await a.close()
        undo_upgrade(Folder.open(a.path), "")
        await a.open()
        await a.log_in("anna")
        await a.start()
        await trio.sleep(60)
        await a.send("anna", "bruno@b.example", subject="Après")
        await trio.sleep(300)
        assert await subjects(b) == ["Après", "Avant", "Entre"]
        assert [alarm for alarm in await b.node.database.read(b.node.alarm_rows.all) if alarm.is_open] == []


async def subjects(institution: Institution) -> list[str]:
    """Of the letters that bruno received."""
    return sorted(item.letter.subject for item in await institution.inbox("bruno") if item.letter is not None)
