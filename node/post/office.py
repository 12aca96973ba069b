"""The post office: all links of a running node, and beside them the mail between its own mailboxes.

Spec: spec/delivery.md, 3 and 7.
"""

from __future__ import annotations

import statistics
from dataclasses import replace
from itertools import product
from typing import Final

import structlog
import trio

from node.errors import StoreError
from node.post.allowance import Allowance
from node.post.ask_peers import heads_at_peers
from node.post.backoff import Backoff, wait_ms
from node.post.inflight import count_crashes
from node.post.network import Connection, LinkError, first_of
from node.post.own_mail import OwnMail
from node.post.parts import PostParts
from node.post.peer_book import PeerBook
from node.post.peer_link import PeerLink
from node.post.session import Session
from node.post.sessions import Sessions
from node.relay.book import first_of_events
from node.supervision import RETRY_S, guarded, keep_running
from node.vault.peers import Peer, PeerHealth
from node.vault.signals import HEALTH, PEERS
from node.world import Share, within
from protocol.errors import RemoteProtocolError
from protocol.ids import NodeId
from protocol.link_states import Role
from protocol.message import Message

__all__ = ["PostOffice"]

_LOOK_AT_LEAST_S: Final = 60
_HEALTH_AT_MOST_EVERY_S: Final = 0.05
# Both sides may dial, and an institution may have several processes; more than that is a peer that goes wrong.
_MAX_LINKS_OF_ONE: Final = 8
# An honest one that lost its link waits for seconds before it dials again.
_LINKS_AT_ONCE: Final = 60
_LINKS_PER_S: Final = 1
_TELL_EVERY_S: Final = 600

# One clock may be wrong, and of two nobody knows which.
_CLOCKS_THAT_TELL: Final = 3

_logger = structlog.get_logger(__name__)


class PostOffice:
    """Keeps links, and delivers between own mailboxes."""

    def __init__(self, parts: PostParts) -> None:
        self._parts = parts
        self._links: dict[NodeId, set[PeerLink]] = {}
        self._dialling: set[NodeId] = set()
        self._shares: dict[NodeId, Share] = {}
        self._comings: dict[NodeId, Allowance] = {}
        self._coming_told: dict[NodeId, Allowance] = {}
        self._sessions = Sessions(parts)
        self._backoff = Backoff(parts.database, parts.peers, parts.outbox)
        self._own_mail = OwnMail(parts)
        self._peers = PeerBook(parts.database, parts.peers, parts.network)
        self._stopping = False
        parts.book.linked = self.linked
        self.listening_on = ""
        self._clock_offsets_ms: dict[NodeId, int] = {}

    def clock_offset_ms(self) -> int | None:
        """Median over linked peers of what their clocks showed less the own, at hello; None below three of them."""
        known = [self._clock_offsets_ms[node] for node in self.linked() if node in self._clock_offsets_ms]
        return round(statistics.median(known)) if len(known) >= _CLOCKS_THAT_TELL else None

    def linked(self) -> dict[NodeId, int]:
        """Number of open links for each peer."""
        return {node_id: len(links) for node_id, links in self._links.items() if links}

    async def ask_peers(self) -> None:
        """Before anything is signed: open a new epoch of the own log if a reachable peer shows that its end is lost."""
        parts = self._parts
        await self._read_peers()
        hellos = await parts.database.read(
            lambda connection: {
                peer.node_id: replace(self._sessions.hello(connection, peer), heads=())
                for peer in self._peers.all()
                if peer.endpoints
            }
        )
        shown = await heads_at_peers(parts.network, self._peers.all(), lambda peer: hellos[peer.node_id])
        await parts.history.shown(shown)

    async def run(self, listen: str, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen (if `listen` is given), dial, deliver, until cancelled. Started with the address listened on."""
        parts = self._parts
        await parts.database.write(count_crashes, parts.in_flight.left_behind)
        await self._read_peers()
        async with trio.open_nursery() as nursery:
            await self.present()
            if listen:
                self.listening_on = await nursery.start(self._listen, listen)
            nursery.start_soon(keep_running, self._keep_links, nursery)
            sending = (parts.sender.run, parts.sender.resealer.run)
            for work in (parts.intake.run, *sending, parts.book.run, self._sessions.replica.keep_indexes):
                nursery.start_soon(keep_running, work)
            nursery.start_soon(parts.claims.hold, self._own_mail.run, "own mail")
            task_status.started(self.listening_on)

    async def present(self) -> None:
        """Show peers the link certificates that are the node's own now; links that stand go on."""
        try:
            await self._parts.database.world.run_blocking(self._parts.network.present, self._parts.own_keys.links())
        except OSError as error:
            raise StoreError(f"the own certificate cannot be used: {error.strerror}") from error

    async def stop(self) -> None:
        """Say goodbye on every link."""
        self._stopping = True
        async with trio.open_nursery() as nursery:
            for links in self._links.values():
                for link in links:
                    nursery.start_soon(link.goodbye, "stopping")

    async def _read_peers(self) -> None:
        await self._peers.read()
        for node_id, links in self._links.items():
            peer = self._peers.find(node_id)
            for link in list(links):
                if peer is None or link.peer_certificate not in peer.chain.certificates():
                    _logger.info("link ended: no longer accepted", peer=node_id.text[:12])
                    link.abort()

    async def _listen(self, endpoint: str, *, task_status: trio.TaskStatus[str]) -> None:
        await self._parts.network.listen(endpoint, self._accept, task_status=task_status)

    async def _accept(self, connection: Connection) -> None:
        peer = self._peers.of(connection.peer_certificate)
        if (
            peer is None
            or self._stopping
            or self._parts.are_keys_lost()
            or len(self._links.get(peer.node_id, ())) >= _MAX_LINKS_OF_ONE
            or not self._may_come(peer.node_id)
        ):
            await trio.aclose_forcefully(connection.stream)
            return
        await guarded(self._run_link, connection, peer, Role.ACCEPTOR)

    def _may_come(self, node: NodeId) -> bool:
        """Whether a peer may open one more link: each costs a commit and lines of the log."""
        allowance = self._comings.setdefault(node, Allowance(_LINKS_AT_ONCE, per_s=_LINKS_PER_S))
        may_come = allowance.take()
        if not may_come and self._coming_told.setdefault(node, Allowance(1, per_s=1 / _TELL_EVERY_S)).take():
            _logger.warning("a peer connects too often", peer=node.text[:12])
        return may_come

    async def _keep_links(self, nursery: trio.Nursery) -> None:
        """Dial every accepted peer that is not linked, when its next attempt is due."""
        database = self._parts.database
        read_all_at = trio.current_time()
        while True:
            changed, health = (database.signals.ticket(topic) for topic in (PEERS, HEALTH))
            if trio.current_time() >= read_all_at:
                read_all_at = trio.current_time() + _LOOK_AT_LEAST_S
                await self._read_peers()
            else:
                await self._peers.read_health()
            now_ms = database.world.now_ms()
            for peer in () if self._parts.are_keys_lost() else self._peers.all():
                due = wait_ms(peer, now_ms) <= 0 or not peer.failures
                busy = self._links.get(peer.node_id) or peer.node_id in self._dialling
                if peer.endpoints and due and not busy and not self._stopping:
                    self._dialling.add(peer.node_id)
                    nursery.start_soon(guarded, self._dial, peer)
            await first_of_events(changed, health, within_s=self._next_look_s())
            if not changed.is_set():
                # Of a country's nodes many are reached, or not, at a time: one look for all of them.
                await trio.sleep(_HEALTH_AT_MOST_EVERY_S)
            if changed.is_set():
                read_all_at = trio.current_time()

    def _next_look_s(self) -> float:
        """Seconds until some peer's next attempt is due; who is linked or being dialled is looked at when that ends."""
        now_ms = self._parts.database.world.now_ms()
        waits_ms = [
            wait_ms(peer, now_ms)
            for peer in self._peers.all()
            if peer.endpoints
            and peer.failures
            and not self._links.get(peer.node_id)
            and peer.node_id not in self._dialling
        ]
        return min(max(min(waits_ms, default=_LOOK_AT_LEAST_S * 1000) / 1000, 0.05), _LOOK_AT_LEAST_S)

    async def _dial(self, peer: Peer) -> None:
        parts = self._parts
        error = LinkError("unreachable", "no endpoint")
        try:
            certificates = len(parts.own_keys.links())
            for endpoint, attempt in product(peer.endpoints, range(certificates)):
                try:
                    connection = await parts.network.dial(endpoint, attempt=attempt)
                except LinkError as failed:
                    error = failed
                    continue
                if self._peers.of(connection.peer_certificate) != self._peers.find(peer.node_id):
                    await trio.aclose_forcefully(connection.stream)
                    error = LinkError("wrong_node", f"{endpoint} is another institution's node")
                    continue
                self._dialling.discard(peer.node_id)
                # A TLS client learns only then whether its certificate was taken.
                if await self._run_link(connection, peer, Role.DIALLER) or attempt + 1 == certificates:
                    return
                self._dialling.add(peer.node_id)
            await self._backoff.failed(peer, error)
        except* StoreError:
            # Our vault fails, not the peer: its health is as it was, and it is not dialled in a tight loop.
            self._dialling.add(peer.node_id)
            await trio.sleep(RETRY_S)
            raise
        finally:
            self._dialling.discard(peer.node_id)
            parts.database.signals.set([(HEALTH, b"")])

    async def _run_link(self, connection: Connection, peer: Peer, role: Role) -> bool:
        """Serve one link to its end; whether it was ever open."""
        with within(self._shares.setdefault(peer.node_id, Share())):
            return await self._serve_link(connection, peer, role)

    async def _serve_link(self, connection: Connection, peer: Peer, role: Role) -> bool:
        parts = self._parts
        hello = await parts.database.read(self._sessions.hello, peer)
        sessions: list[Session] = []

        async def on_request(_link: PeerLink, stream: int, message: Message) -> None:
            await sessions[0].request(stream, message)

        async def on_push(_link: PeerLink, message: Message) -> None:
            await sessions[0].push(message)

        link = PeerLink(
            connection,
            peer=peer.node_id,
            role=role,
            hello=hello,
            on_offer=parts.intake.take,
            on_request=on_request,
            on_push=on_push,
        )
        sessions.append(self._sessions.of(link, peer, hello))
        self._links.setdefault(peer.node_id, set()).add(link)

        async def on_open(_link: PeerLink) -> None:
            if link.peer_hello is not None:
                offset_ms = link.peer_hello.now_ms - parts.database.world.now_ms()
                self._clock_offsets_ms[peer.node_id] = offset_ms
            if not await sessions[0].met():
                return
            health = PeerHealth(peer.node_id, 0, 0, "")
            await parts.database.write(parts.peers.set_health, health)
            _logger.info("linked", peer=peer.node_id.text[:12], role=role.name.lower())
            await sessions[0].opened()

        vault_failed = False
        try:
            await link.run(on_open)
            # It said goodbye. We dialled, so it is for us to come back, after the usual wait.
            await self._ended(peer, link, LinkError("goodbye", "its node said goodbye"))
        except* StoreError:
            vault_failed = True
            raise
        except* LinkError as lost:
            if not vault_failed:
                await self._ended(peer, link, first_of(lost))
        except* RemoteProtocolError as broken:
            error = first_of(broken)
            await self._ended(peer, link, LinkError(error.reason.value, f"link broken: {error}"))
        finally:
            self._links[peer.node_id].discard(link)
            # Whoever now cannot be reached may be reached by a relay.
            parts.database.signals.set([(HEALTH, b"")])
        return link.opened.is_set()

    async def _ended(self, peer: Peer, link: PeerLink, error: LinkError) -> None:
        _logger.info("link ended", peer=peer.node_id.text[:12], code=error.code)
        current = self._peers.find(peer.node_id)
        if link.role is Role.DIALLER and current is not None and not self._stopping:
            # Whoever ends a link again and again is not dialled in a tight loop.
            if link.opened.is_set():
                current = peer
            await self._backoff.failed(current, error)
