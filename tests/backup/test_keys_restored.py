"""A backup that is older than a renewal: the new keys are lost, and the recovery key repairs that."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from node.doctor import examine
from node.errors import StateError
from tests.backup.copies import restore, write_backup
from tests.post.harness import Federation, settled
from tests.post.test_key_recovery import recovered
from tests.post.test_key_renewal import both_ways, known


async def test_restored_from_before_a_renewal(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with Federation.pair(tmp_path) as (_, a, b):
        write_backup(a, tmp_path / "a.backup")
        await a.node.key_keeper.renew()
        await both_ways(a, b)
        await a.stop()
        await a.close()
        restore(a, tmp_path / "a.backup", tmp_path / "restored")
        await a.open()
        await a.start()
        await trio.sleep(600)
        # The peer holds what keys signed that are gone: nothing is published, and none are made that would be rivals.
        assert a.node.keyring.chain.current.number == 0
        with pytest.raises(StateError, match="restored"):
            await a.node.key_keeper.renew()
        checks = {check.name: check for check in await examine(a.node)}
        assert "renewed after the backup" in checks["keys"].message
        [peer] = await b.node.database.read(b.node.peers.accepted)
        assert peer.alarm is None
        await recovered(a, recovery=tmp_path / "a.recovery" / "identity-recovery.key")
        await trio.sleep(7200)
        chain = await known(b, a)
        assert [item.by_recovery for item in chain.statements] == [False, True]
        assert len(chain.superseded) == 1
        assert a.node.keyring.chain.superseded == chain.superseded
        await a.log_in("anna")
        await settled()
        await both_ways(a, b)
        entry = await b.node.database.read(b.node.directory.institution, a.node.node_id)
        assert entry.statement == 1
