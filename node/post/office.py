"""The post office: all links of a running node, and the mail between its own mailboxes.

Spec: spec/delivery.md, 3 and 7.
"""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Final

import sqlalchemy as sa
import structlog
import trio

from directory_sync.forks import ForkNews
from directory_sync.news import FeedNews
from directory_sync.replica import FeedLocks
from directory_sync.taking import FeedTaker
from node.audit.epochs import LogHistory
from node.errors import StoreError
from node.identity.own_keys import OwnKeys
from node.post.ask_peers import heads_at_peers
from node.post.cosigning import Cosigning, CosigningParts
from node.post.deposit import Refusal
from node.post.feed_replica import FEED_LIMITS, FeedReplica, log_feed_event
from node.post.forward import Forwarder, SenderSide
from node.post.heads_shown import HeadsShown
from node.post.inflight import CRASHES_TO_SET_ASIDE, InFlight
from node.post.intake import Intake, result_frames
from node.post.network import Connection, LinkError, Network, first_of
from node.post.offer_again import OfferAgain
from node.post.own_heads import OwnHeads
from node.post.peer_link import PeerLink
from node.post.results import Verifiers
from node.post.serve import Server
from node.post.session import Session
from node.post.turns import Turns
from node.post.withdraw import Withdrawals
from node.relay.book import RelayBook
from node.relay.custody import Custody
from node.relay.keeping import RelayKeeper
from node.relay.sending import RelaySender
from node.supervision import RETRY_S, guarded, keep_running
from node.trust.followed import Following
from node.vault import schema
from node.vault.claims import Claims
from node.vault.database import Database, Transaction
from node.vault.dedup import Dedup
from node.vault.directory import Directory
from node.vault.feed_store import feed_head
from node.vault.outbox_rows import OutboxItem, OutboxRows
from node.vault.payload_rows import PayloadRows
from node.vault.peers import (
    BACKOFF_CAP_MS,
    BACKOFF_CAP_URGENT_MS,
    BACKOFF_START_MS,
    Peer,
    PeerHealth,
    PeerRows,
)
from node.vault.returns import ReturnRows
from node.vault.signals import EXPIRIES, OUTBOX, PEERS, RETURNS, WITHDRAWALS
from node.vault.states import CLASS_NUMBERS, OutboxState
from protocol.envelope import decode_envelope
from protocol.errors import RemoteProtocolError
from protocol.ids import NodeId
from protocol.link_states import Role
from protocol.message import Message
from protocol.messages import Event, Hello, MailboxResult, Result
from protocol.statement import StatementChain
from protocol.withdrawal import Withdrawal

__all__ = ["PostOffice", "PostParts"]

_LOOK_EVERY_S: Final = 5
_LOOK_AT_LEAST_S: Final = 60
_JITTER: Final = 0.2
# Both sides may dial, and an institution may have several processes; more than that is a peer that goes wrong.
_MAX_LINKS_OF_ONE: Final = 8
# Enough to fill a batch while the one before it is on its way; at 64 KiB each, 8 MiB for a peer that sends no faster.
_MAX_OFFERS: Final = 128

# One clock may be wrong, and of two nobody knows which.
_CLOCKS_THAT_TELL: Final = 3

_logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostParts:
    """What the post office works with; made once by node/exchange.py."""

    node_id: NodeId
    own_keys: OwnKeys
    adopt_statements: Callable[[StatementChain], Awaitable[bool]]
    are_keys_lost: Callable[[], bool]
    database: Database
    directory: Directory
    peers: PeerRows
    outbox: OutboxRows
    payloads: PayloadRows
    returns: ReturnRows
    dedup: Dedup
    verifiers: Verifiers
    intake: Intake
    sender: SenderSide
    server: Server
    withdrawals: Withdrawals
    network: Network
    in_flight: InFlight
    own_log_head: Callable[[sa.Connection], bytes]
    history: LogHistory
    claims: Claims
    following: Following
    book: RelayBook
    custody: Custody
    cosigning: CosigningParts


class PostOffice:
    """Keeps links, and delivers between own mailboxes."""

    def __init__(self, parts: PostParts) -> None:
        self._parts = parts
        self._links: dict[NodeId, set[PeerLink]] = {}
        self._dialling: set[NodeId] = set()
        self._turns = Turns()
        self._feed_locks = FeedLocks()
        self._replica = FeedReplica(parts.database, parts.following, parts.peers, parts.node_id)
        self._peers: dict[NodeId, Peer] = {}
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
        await self._load_peers()
        hellos = await parts.database.read(
            lambda connection: {
                peer.node_id: replace(self._hello(connection, peer), heads=())
                for peer in self._peers.values()
                if peer.endpoints
            }
        )
        shown = await heads_at_peers(parts.network, self._peers.values(), lambda peer: hellos[peer.node_id])
        await parts.history.shown(shown)

    async def run(self, listen: str, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen (if `listen` is given), dial, deliver, until cancelled. Started with the address listened on."""
        parts = self._parts
        await parts.database.write(self._count_crashes, parts.in_flight.left_behind)
        await self._load_peers()
        async with trio.open_nursery() as nursery:
            await self.present()
            if listen:
                self.listening_on = await nursery.start(self._listen, listen)
            nursery.start_soon(keep_running, self._keep_links, nursery)
            for work in (parts.intake.run, parts.sender.run, parts.book.run, self._replica.keep_lists):
                nursery.start_soon(keep_running, work)
            nursery.start_soon(parts.claims.hold, self._serve_own_mail, "own mail")
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

    # -- poison

    def _count_crashes(self, tx: Transaction, items: Sequence[frozenset[bytes]]) -> Sequence[None]:
        table = schema.outbox
        for left_behind in items:
            for row in left_behind:
                tx.connection.execute(table.update().where(table.c.id == row).values(crashes=table.c.crashes + 1))
                tx.connection.execute(
                    table.update()
                    .where(
                        table.c.id == row,
                        table.c.crashes >= CRASHES_TO_SET_ASIDE,
                        table.c.state == OutboxState.WAITING,
                    )
                    .values(state=int(OutboxState.SET_ASIDE))
                )
        return [None] * len(items)

    # -- peers and links

    async def _load_peers(self) -> None:
        parts = self._parts
        accepted = await parts.database.read(parts.peers.accepted)
        before = {peer.node_id: peer.chain.certificates() for peer in self._peers.values()}
        now = {peer.node_id: peer.chain.certificates() for peer in accepted}
        if now != before:
            pins = [der for certificates in now.values() for der in certificates]
            try:
                await parts.database.world.run_blocking(parts.network.pin, pins)
            except OSError as error:  # no file descriptor, no room for the file that the TLS library wants
                raise StoreError(f"certificates cannot be pinned: {error.strerror}") from error
        self._peers = {peer.node_id: peer for peer in accepted}
        for node_id, links in self._links.items():
            peer = self._peers.get(node_id)
            for link in list(links):
                if peer is None or link.peer_certificate not in peer.chain.certificates():
                    _logger.info("link ended: no longer accepted", peer=node_id.text[:12])
                    link.abort()

    async def _listen(self, endpoint: str, *, task_status: trio.TaskStatus[str]) -> None:
        await self._parts.network.listen(endpoint, self._accept, task_status=task_status)

    async def _accept(self, connection: Connection) -> None:
        peer = self._peer_of(connection)
        if (
            peer is None
            or self._stopping
            or self._parts.are_keys_lost()
            or len(self._links.get(peer.node_id, ())) >= _MAX_LINKS_OF_ONE
        ):
            await trio.aclose_forcefully(connection.stream)
            return
        await guarded(self._run_link, connection, peer, Role.ACCEPTOR)

    def _peer_of(self, connection: Connection) -> Peer | None:
        for peer in self._peers.values():
            if connection.peer_certificate in peer.chain.certificates():
                return peer
        return None

    async def _keep_links(self, nursery: trio.Nursery) -> None:
        """Dial every accepted peer that is not linked, when its next attempt is due."""
        database = self._parts.database
        while True:
            ticket = database.signals.ticket(PEERS)
            await self._load_peers()
            now_ms = database.world.now_ms()
            for peer in () if self._parts.are_keys_lost() else self._peers.values():
                due = _wait_ms(peer, now_ms) <= 0 or not peer.failures
                busy = self._links.get(peer.node_id) or peer.node_id in self._dialling
                if peer.endpoints and due and not busy and not self._stopping:
                    self._dialling.add(peer.node_id)
                    nursery.start_soon(guarded, self._dial, peer)
            with trio.move_on_after(self._next_look_s()):
                await ticket.wait()

    def _next_look_s(self) -> float:
        """Seconds until some peer's next attempt is due; who is linked or being dialled is looked at when that ends."""
        now_ms = self._parts.database.world.now_ms()
        waits_ms = [
            _wait_ms(peer, now_ms)
            for peer in self._peers.values()
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
                if self._peer_of(connection) != self._peers.get(peer.node_id):
                    await trio.aclose_forcefully(connection.stream)
                    error = LinkError("wrong_node", f"{endpoint} is another institution's node")
                    continue
                self._dialling.discard(peer.node_id)
                # A TLS client learns only then whether its certificate was taken.
                if await self._run_link(connection, peer, Role.DIALLER) or attempt + 1 == certificates:
                    return
                self._dialling.add(peer.node_id)
            await self._failed(peer, error)
        except* StoreError:
            # Our vault fails, not the peer: its health is as it was, and it is not dialled in a tight loop.
            self._dialling.add(peer.node_id)
            await trio.sleep(RETRY_S)
            raise
        finally:
            self._dialling.discard(peer.node_id)
            parts.database.signals.set([(PEERS, b"")])

    async def _failed(self, peer: Peer, error: LinkError) -> None:
        parts = self._parts
        urgent = await parts.database.read(self._urgent_waits, peer.node_id)
        failures = peer.failures + 1
        cap_ms = BACKOFF_CAP_URGENT_MS if urgent else BACKOFF_CAP_MS
        wait_ms = min(BACKOFF_START_MS << min(failures - 1, 20), cap_ms)
        wait_ms = int(wait_ms * (1 - _JITTER + 2 * _JITTER * parts.database.world.jitter()))
        health = PeerHealth(peer.node_id, failures, parts.database.world.now_ms() + wait_ms, error.message)
        _logger.info("peer not reached", peer=peer.node_id.text[:12], code=error.code, failures=failures)
        await parts.database.write(parts.peers.set_health, health)

    def _urgent_waits(self, connection: sa.Connection, node: NodeId) -> bool:
        table = schema.outbox
        query = sa.select(table.c.id).where(
            table.c.state == OutboxState.WAITING,
            table.c.destination == self._parts.outbox.destination(node),
            table.c.letter_class == 0,
        )
        return connection.execute(query.limit(1)).one_or_none() is not None

    async def _run_link(self, connection: Connection, peer: Peer, role: Role) -> bool:
        """Serve one link to its end; whether it was ever open."""
        parts = self._parts
        hello = await parts.database.read(self._hello, peer)
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
        sessions.append(self._session(link, peer, hello))
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
            parts.database.signals.set([(PEERS, b"")])
        return link.opened.is_set()

    async def _ended(self, peer: Peer, link: PeerLink, error: LinkError) -> None:
        _logger.info("link ended", peer=peer.node_id.text[:12], code=error.code)
        current = self._peers.get(peer.node_id)
        if link.role is Role.DIALLER and current is not None and not self._stopping:
            # Whoever ends a link again and again is not dialled in a tight loop.
            if link.opened.is_set():
                current = peer
            await self._failed(current, error)

    def _hello(self, connection: sa.Connection, peer: Peer) -> Hello:
        parts = self._parts
        # In this order: what is told later is compared with them.
        heads = (parts.own_log_head(connection), feed_head(connection, parts.node_id))
        held_log = parts.peers.log_head(connection, peer.node_id)
        seen = [held_log] if held_log is not None else []
        held_feed = feed_head(connection, peer.node_id)
        return Hello(
            node=parts.node_id,
            statement_number=parts.directory.own_chain().current.number,
            now_ms=parts.database.world.now_ms(),
            heads=tuple(note for note in heads if note),
            seen=tuple(note for note in (*seen, held_feed) if note),
            max_offers=_MAX_OFFERS,
        )

    def _session(self, link: PeerLink, peer: Peer, hello: Hello) -> Session:
        parts = self._parts
        forwarder = Forwarder(
            link,
            sender=parts.sender,
            directory=parts.directory,
            outbox=parts.outbox,
            payloads=parts.payloads,
            returns=parts.returns,
            identity=parts.own_keys.identity,
            node_id=parts.node_id,
            in_flight=parts.in_flight,
        )
        feeds = FeedTaker(
            link,
            self._replica,
            locks=self._feed_locks,
            own=parts.node_id,
            limits=FEED_LIMITS,
            verifiers=parts.verifiers.of,
            say=log_feed_event,
        )
        news = FeedNews(
            link,
            self._replica,
            feeds,
            own=parts.node_id,
            told=hello.heads[-1],
            limits=FEED_LIMITS,
            jitter=parts.database.world.jitter,
        )
        heads = HeadsShown(
            link,
            database=parts.database,
            directory=parts.directory,
            peers=parts.peers,
            verifiers=parts.verifiers,
            sender=parts.sender,
            replica=self._replica,
            news=news,
            feeds=feeds,
            offer_again=OfferAgain(parts.peers, parts.outbox),
        )
        return Session(
            link,
            peer,
            database=parts.database,
            peers=parts.peers,
            sender=parts.sender,
            server=parts.server,
            withdrawals=parts.withdrawals,
            dedup=parts.dedup,
            forwarder=forwarder,
            turns=self._turns,
            claims=parts.claims,
            own=OwnHeads(
                link,
                feeds=feeds,
                database=parts.database,
                directory=parts.directory,
                history=parts.history,
                log_head=parts.own_log_head,
                told=hello.heads,
                adopt=parts.adopt_statements,
            ),
            news=news,
            feeds=feeds,
            forks=ForkNews(
                link,
                self._replica,
                feeds,
                own=parts.node_id,
                verifiers=parts.verifiers.of,
                say=log_feed_event,
            ),
            heads=heads,
            cosigning=Cosigning(link, parts.cosigning, shown=heads, replica=self._replica),
            relay_sender=RelaySender(
                link,
                book=parts.book,
                sender=parts.sender,
                directory=parts.directory,
                outbox=parts.outbox,
                payloads=parts.payloads,
                returns=parts.returns,
                identity=parts.own_keys.identity,
                in_flight=parts.in_flight,
            ),
            relay_keeper=RelayKeeper(
                link,
                node_id=parts.node_id,
                book=parts.book,
                custody=parts.custody,
                sender=parts.sender,
                payloads=parts.payloads,
                withdrawals=parts.withdrawals,
                dedup=parts.dedup,
            ),
        )

    # -- mail between own mailboxes: the same checks, deposit and evidence, without a link

    async def _serve_own_mail(self) -> None:
        async with trio.open_nursery() as nursery:
            for work in (self._deliver_own, self._withdraw_own_mail, self._ask_own_again, self._return_own):
                nursery.start_soon(keep_running, work)

    async def _deliver_own(self) -> None:
        parts = self._parts
        deferred_until: dict[bytes, float] = {}
        own = parts.outbox.destination(parts.node_id)
        while True:
            ticket = parts.database.signals.ticket(OUTBOX, own)
            items = await parts.database.read(
                lambda connection: parts.outbox.waiting_for(
                    connection, parts.node_id, after={}, limit=100 * len(CLASS_NUMBERS)
                )
            )
            for item, _ in items:
                if deferred_until.get(item.row, 0) <= trio.current_time():
                    retry_ms = await self._deliver_one(item)
                    deferred_until[item.row] = trio.current_time() + retry_ms / 1000
            with trio.move_on_after(_LOOK_EVERY_S if deferred_until else 3600):
                await ticket.wait()
            waiting = {item.row for item, _ in items}
            deferred_until = {row: at for row, at in deferred_until.items() if row in waiting}

    async def _deliver_one(self, item: OutboxItem) -> int:
        parts = self._parts
        parts.in_flight.begin(item.row)
        outcomes = await parts.intake.deposit_own(decode_envelope(item.envelope), parts.node_id)
        parts.in_flight.end(item.row)
        if isinstance(outcomes, Refusal):
            if not outcomes.retry_after_ms:
                await parts.sender.take_refusal(item, outcomes.code)
            return outcomes.retry_after_ms
        frames = result_frames(item.envelope_id, outcomes)
        return await parts.sender.take_results(item, _results(frames))

    async def _withdraw_own_mail(self) -> None:
        parts = self._parts
        own = parts.outbox.destination(parts.node_id)
        while True:
            ticket = parts.database.signals.ticket(WITHDRAWALS, own)
            for item in await parts.database.read(
                lambda connection: parts.outbox.with_state(connection, OutboxState.WITHDRAWING, parts.node_id)
            ):
                await self._withdraw_own(item)
            await ticket.wait()

    async def _ask_own_again(self) -> None:
        """What expired while the node was down, between the deposit and taking note of it."""
        parts = self._parts
        own = parts.outbox.destination(parts.node_id)
        while True:
            ticket = parts.database.signals.ticket(EXPIRIES, own)
            for item in await parts.database.read(parts.outbox.ended_without_word, parts.node_id):
                outcomes, _ = await parts.database.read(parts.dedup.outcomes, item.envelope_id, parts.node_id)
                await parts.sender.take_results(item, _results(result_frames(item.envelope_id, outcomes)))
            await ticket.wait()

    async def _withdraw_own(self, item: OutboxItem) -> None:
        parts = self._parts
        withdrawal = Withdrawal(
            sender_node=parts.node_id,
            destination=parts.node_id,
            envelope_id=item.envelope_id,
            letter_id=item.letter_id,
            mailboxes=item.mailboxes,
            expires_at_ms=item.expires_at_ms,
            time_ms=parts.database.world.now_ms(),
            reply_key=item.reply_key,
        )
        frames = result_frames(item.envelope_id, await parts.withdrawals.decide(withdrawal))
        await parts.sender.take_results(item, _results(frames))

    async def _return_own(self) -> None:
        parts = self._parts
        while True:
            ticket = parts.database.signals.ticket(RETURNS, parts.outbox.destination(parts.node_id))
            waiting = await parts.database.read(parts.returns.waiting_for, parts.node_id)
            for row, boxed in waiting:
                if boxed is not None:
                    await parts.sender.take_event(parts.node_id, Event(boxed))
                await parts.database.write(parts.returns.done, row)
            if not waiting:
                await ticket.wait()


def _wait_ms(peer: Peer, now_ms: int) -> int:
    """Until the next attempt. A longer wait than is ever set means that the clock was set back: it is over."""
    wait_ms = peer.next_attempt_at_ms - now_ms
    return wait_ms if wait_ms <= BACKOFF_CAP_MS * (1 + _JITTER) else 0


def _results(frames: Iterable[Result]) -> list[MailboxResult]:
    results: list[MailboxResult] = []
    for frame in frames:
        results.extend(frame.results)
    return results
