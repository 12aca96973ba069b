"""Maintainers and institutions of a fictional region, for tests."""

from __future__ import annotations

from pathlib import Path

from node.maintainer.desk import Desk
from node.maintainer.keys import OfflineKey, OnlineKeys
from node.world import World
from protocol.crypto import Secret
from protocol.entry import MaintainerEntry, RevocationReason
from protocol.feed_file import decode_feed_file
from tests.post.harness import Institution

__all__ = ["PASSPHRASE", "Region"]

PASSPHRASE = Secret(b"a maintainer's passphrase")


class Region:
    """One maintainer with its keys at hand."""

    def __init__(self, path: Path, world: World, name: str = "Région des Tilleuls") -> None:
        entry = MaintainerEntry(names=(name,), region="Occitanie")
        recovery = path.with_name(path.name + ".recovery.key")
        self.desk = Desk.create(path, entry, PASSPHRASE, recovery_file=recovery, world=world)
        self.offline = OfflineKey.load(path / "offline.key", PASSPHRASE)
        self.online = OnlineKeys.load(path / "online.key", PASSPHRASE)

    def endorse(self, *institutions: Institution, days: int = 396) -> None:
        """Vouch for these."""
        for institution in institutions:
            invite = self.desk.requests.add(institution.node.invitation())
            entry = self.desk.endorse(invite, self.offline, kind="hospital", region="Occitanie", days=days)
            self.desk.publish([entry], self.online)

    def revoke(self, institution: Institution, reason: RevocationReason) -> None:
        """Take an endorsement back."""
        self.desk.publish([self.desk.revoke(institution.node.node_id, self.offline, reason)], self.online)

    def suspend(self, institution: Institution, days: int) -> None:
        """Stop an institution for some days."""
        self.desk.publish([self.desk.suspend(institution.node.node_id, self.online, days=days)], self.online)

    async def trusted_by(self, *institutions: Institution) -> None:
        """Administrators trust it, by its file."""
        for institution in institutions:
            await institution.node.trust.trust(decode_feed_file(self.desk.feed_file))

    async def published_at(self, institution: Institution) -> None:
        """Hand the newest feed to one node."""
        self.desk.publish([], self.online)
        await institution.node.trust.carry(self.desk.feed_file)
