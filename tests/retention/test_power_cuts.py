"""The power cut at each write of an erasure, and of a replay. Spec: spec/retention.md, 6 and 7."""

from __future__ import annotations

import random
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import sqlalchemy as sa
import trio.testing
from sqlalchemy import event

from node.app import Node
from node.backup.restoring import restore_backup
from node.opening import open_node
from node.vault import schema
from node.vault.database import Transaction
from tests.backup.copies import what_is_wrong, write_backup
from tests.post.harness import Institution, settled
from tests.retention.years import erase, every_byte, pair, rows
from tests.simulated.power import Power, PowerCut, watched_files


async def live(institution: Institution, power: Power, work: Callable[[Node], Awaitable[object]]) -> bool:
    """One life of a node, from its start; whether it came to the end of its work before the power went."""

    def commits(_connection: sa.Connection) -> None:
        power.step("before commit")

    event.listen(sa.Engine, "commit", commits)
    done = False
    try:
        with watched_files([power]):
            async with open_node(institution.path, world=institution.world) as node:
                await work(node)
                done = True
                power.cut_in = -1
    except* PowerCut:
        assert power.is_cut
    finally:
        event.remove(sa.Engine, "commit", commits)
    power.restore()
    return done


async def cut_everywhere(
    institution: Institution,
    original: Path,
    work: Callable[[Node], Awaitable[object]],
    check: Callable[[int], Awaitable[None]],
) -> int:
    """Lives that end before their first write, before their second, and so on; after each, one that does not end."""
    for step in range(200):
        institution.path = original.with_name(f"{original.name}-{step}")
        shutil.copytree(original, institution.path)
        power = Power(institution.path, random.Random(step), institution.world.now_ms, lambda _what: None)
        power.cut_in = step
        whole = await live(institution, power, work)
        await institution.open()
        await work(institution.node)
        await check(step)
        await institution.close()
        shutil.rmtree(institution.path)
        if whole:
            return step
    raise AssertionError("it writes for ever")


async def look(node: Node) -> None:
    await node.retention.look()


async def test_the_power_goes_at_each_write_of_an_erasure(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with pair(tmp_path, "sqlite") as (_, a, b):
        document = tmp_path / "scan.bin"
        document.write_bytes(bytes(range(256)) * 3000)
        await a.send("anna", "bruno@b.example", subject="une", files=[document])
        letter = await a.send("anna", "bruno@b.example", subject="deux", files=[document])
        await settled()
        await b.read("bruno", letter)
        await settled()

        def age(tx: Transaction, items: list[None]) -> list[None]:
            table = schema.letters
            tx.connection.execute(table.update().where(table.c.state == 1).values(trashed_at_ms=1))
            return items

        await b.node.database.write(age, None)  # type: ignore[arg-type]
        secrets = [row.sealed for row in rows(b, schema.letters) if row.trashed_at_ms]
        (name,) = (row.payload for row in rows(b, schema.letters) if row.trashed_at_ms)
        secrets.append(b.node.store._path(name).read_bytes()[:64])
        for institution in (a, b):
            await institution.stop()
            await institution.close()
        original = b.path

        async def check(step: int) -> None:
            assert len(rows(b, schema.letters)) == 1, step
            assert rows(b, schema.erased_files) == [], step
            assert len(rows(b, schema.erasures)) == 1, step
            assert b.node.folder.erasures_file.exists(), step
            assert await what_is_wrong(b) == [], step
            assert [item for item in b.node.store.names() if item == name] == [], step
            for place, data in every_byte(b):
                assert not any(secret in data for secret in secrets), f"{place} after a cut at write {step}"

        steps = await cut_everywhere(b, original, look, check)
        assert steps >= 5
        b.path = original
        await b.open()


async def test_the_power_goes_at_each_write_of_a_replay(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with pair(tmp_path, "sqlite") as (_, a, b):
        document = tmp_path / "scan.bin"
        document.write_bytes(bytes(range(256)) * 3000)
        for subject in ("une", "deux", "trois"):
            await a.send("anna", "bruno@b.example", subject=subject, files=[document])
        await settled()
        write_backup(b, tmp_path / "b.backup")
        await erase(b, "bruno", "deux")
        await erase(b, "bruno", "trois")
        data_key, list_file, whole = b.node.keyring.data_key, b.node.folder.erasures_file, b.path
        for institution in (a, b):
            await institution.stop()
            await institution.close()
        restored = tmp_path / "restored"
        restore_backup(tmp_path / "b.backup", restored, lambda _header: data_key, erasures=list_file)

        async def nothing(_node: Node) -> None:
            """The start alone replays."""

        async def check(step: int) -> None:
            assert len(rows(b, schema.letters)) == 1, step
            assert len(rows(b, schema.erasures)) == 2, step
            assert len(list(b.node.store.names())) == 1, step
            assert await what_is_wrong(b) == [], step

        steps = await cut_everywhere(b, restored, nothing, check)
        assert steps >= 5
        b.path = whole
        await b.open()
