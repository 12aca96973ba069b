"""Backups of the harness's institutions, and the nodes restored from them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from node.backup.reading import BackupSummary
from node.backup.restoring import restore_backup
from node.backup.writing import BackupWriter
from node.doctor import examine
from node.vault import schema
from node.vault.engine import open_engines
from tests.post.harness import EPOCH_MS, Institution

__all__ = ["drop_tables", "every_row", "restore", "what_is_wrong", "write_backup"]


def write_backup(institution: Institution, path: Path) -> BackupSummary:
    """A backup of an open institution; also from a thread, where the mock clock cannot be read."""
    source = institution.node.backup_source()
    return BackupWriter(replace(source, world=replace(source.world, now_ms=lambda: EPOCH_MS)), path).write()


def restore(institution: Institution, backup: Path, folder: Path) -> BackupSummary:
    """Restore into a folder, and let the institution be there when it is opened again."""
    data_key = institution.node.keyring.data_key
    summary = restore_backup(backup, folder, lambda _header: data_key)
    institution.path = folder
    return summary


def every_row(institution: Institution) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of the tables that a backup holds, in an order that does not depend on the database."""
    with institution.node.database.engines.reader.connect() as connection:
        return {
            table.name: sorted((tuple(row) for row in connection.execute(sa.select(table))), key=repr)
            for table in schema.metadata.sorted_tables
            if table not in schema.NOT_BACKED_UP
        }


def drop_tables(url: str) -> None:
    """Make a database empty again."""
    engines = open_engines(url)
    with engines.writer.begin() as connection:
        found = sa.MetaData()
        found.reflect(connection)
        found.drop_all(connection)
    engines.close()


async def what_is_wrong(institution: Institution) -> list[str]:
    """What the doctor finds wrong in database, log and payload files."""
    checks = await examine(institution.node)
    return [check.message for check in checks if check.name in ("database", "log", "payloads") and not check.ok]
