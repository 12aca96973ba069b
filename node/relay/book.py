"""Which relays are named by whom, and who cannot be reached directly just now. Spec: spec/relay.md, 2 and 5."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

import sqlalchemy as sa
import trio

from node.vault.database import Database
from node.vault.directory import all_named_relays
from node.vault.peers import PeerRows
from node.vault.signals import FEED, PEERS
from protocol.ids import NodeId

__all__ = ["RelayBook", "first_of_events"]

# Links come and go by the dozen when a node starts: one look for all of them.
_LOOK_EVERY_S: Final = 1


async def first_of_events(*events: trio.Event, within_s: float = float("inf")) -> None:
    """Wait until one of these is set, or so long."""
    with trio.move_on_after(within_s):
        async with trio.open_nursery() as nursery:

            async def until(event: trio.Event) -> None:
                await event.wait()
                nursery.cancel_scope.cancel()

            for event in events:
                nursery.start_soon(until, event)


class RelayBook:
    """What the entries of this node and of accepted institutions say of relays, kept up to date by `run`.

    linked: the nodes to which this process has a link.
    """

    def __init__(self, database: Database, peers: PeerRows, node_id: NodeId) -> None:
        self._database = database
        self._peers = peers
        self._node_id = node_id
        self._named: dict[NodeId, tuple[NodeId, ...]] = {}
        self.linked: Callable[[], Collection[NodeId]] = tuple
        self.changed = trio.Event()

    async def run(self) -> None:
        """Read the entries anew whenever a feed or the list of peers changes, until cancelled."""
        while True:
            tickets = [self._database.signals.ticket(topic) for topic in (FEED, PEERS)]
            named = await self._database.read(self._read)
            if named != self._named:
                self._named = named
                changed, self.changed = self.changed, trio.Event()
                changed.set()
            await first_of_events(*tickets)
            await trio.sleep(_LOOK_EVERY_S)

    def _read(self, connection: sa.Connection) -> dict[NodeId, tuple[NodeId, ...]]:
        accepted = {self._node_id, *self._peers.accepted_ids(connection)}
        return {node: relays for node, relays in all_named_relays(connection).items() if node in accepted}

    def relays_of(self, node: NodeId) -> tuple[NodeId, ...]:
        """The relays that a node names."""
        return self._named.get(node, ())

    @property
    def own_relays(self) -> tuple[NodeId, ...]:
        """The relays that this node names."""
        return self.relays_of(self._node_id)

    def clients_of(self, relay: NodeId) -> tuple[NodeId, ...]:
        """The nodes, other than this one, that name a relay."""
        return tuple(
            node for node, relays in self._named.items() if relay in relays and node not in (self._node_id, relay)
        )

    def is_between(self, relay: NodeId, other: NodeId) -> bool:
        """Whether messages between this node and another one may go by way of a relay: one of both names it."""
        return relay in self.own_relays or relay in self.relays_of(other)

    def unreachable(self, connection: sa.Connection) -> list[NodeId]:
        """Accepted nodes without a link that cannot be dialled: no endpoint, or the last attempt failed."""
        linked = set(self.linked())
        return [node for node in self._peers.not_reached(connection) if node not in linked]
