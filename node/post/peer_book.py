"""The accepted peers as this process knows them: their certificates, and when each is tried again.

Spec: spec/delivery.md, 7.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from node.errors import StoreError
from node.post.network import Network
from node.vault.database import Database
from node.vault.peers import Peer, PeerRows
from protocol.ids import NodeId

__all__ = ["PeerBook"]


class PeerBook:
    """Read whole when somebody is accepted or ended, or states new keys; health, which changes with every attempt to
    reach anybody, on its own: a country's statements are 27 MB.
    """

    def __init__(self, database: Database, rows: PeerRows, network: Network) -> None:
        self._database = database
        self._rows = rows
        self._network = network
        self._peers: dict[NodeId, Peer] = {}
        self._by_certificate: dict[bytes, NodeId] = {}

    def all(self) -> Collection[Peer]:
        """Every accepted peer."""
        return self._peers.values()

    def find(self, node: NodeId) -> Peer | None:
        """A peer, if it is accepted."""
        return self._peers.get(node)

    def of(self, certificate: bytes) -> Peer | None:
        """Whose link certificate (DER) it is."""
        node = self._by_certificate.get(certificate)
        return None if node is None else self._peers[node]

    async def read(self) -> None:
        """Read all of it anew, and pin the certificates. StoreError if the database or the TLS library fails."""
        accepted = await self._database.read(self._rows.accepted)
        now = {der: peer.node_id for peer in accepted for der in peer.chain.certificates()}
        if now != self._by_certificate:
            try:
                await self._database.world.run_blocking(self._network.pin, now)
            except OSError as error:  # no file descriptor, no room for the file that the TLS library wants
                raise StoreError(f"certificates cannot be pinned: {error.strerror}") from error
        self._peers = {peer.node_id: peer for peer in accepted}
        self._by_certificate = now

    async def read_health(self) -> None:
        """Read anew who was reached and who was not."""
        for health in await self._database.read(self._rows.healths):
            peer = self._peers.get(health.node_id)
            if peer is not None and (health.failures, health.next_attempt_at_ms) != (
                peer.failures,
                peer.next_attempt_at_ms,
            ):
                self._peers[health.node_id] = replace(
                    peer,
                    failures=health.failures,
                    next_attempt_at_ms=health.next_attempt_at_ms,
                    last_error=health.error,
                )
