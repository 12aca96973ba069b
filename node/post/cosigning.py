"""Cosigning over one link, both ways: the peer's heads as a witness, the own ones as their owner.

Spec: spec/cosigning.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
import structlog
import trio

from node.audit.cosigned_heads import CosignedHead, CosignedHeads, NewCosignature
from node.audit.tiles import StoredTileReader
from node.audit.witness import CosignOrder, ShownHeads, WitnessRows, WitnessView
from node.errors import StoreError
from node.post.feed_replica import FeedReplica
from node.post.heads_shown import HeadsShown
from node.post.peer_link import PeerLink
from node.post.results import Verifiers
from node.vault import schema
from node.vault.database import Database
from node.vault.directory import Directory
from node.vault.peers import PeerRows
from node.vault.signals import COSIGNING, FEED
from protocol.checkpoint import Checkpoint, parse_origin, peek_checkpoint
from protocol.cosignature import verify_cosignature
from protocol.crypto import sha256
from protocol.errors import Reason, RemoteProtocolError
from protocol.fork_proof import fork_shown, prove_fork
from protocol.ids import NodeId
from protocol.merkle import consistency_proof, verify_consistency
from protocol.messages import Cosigned, CosignGet, Held, HeldGet
from protocol.statement import StatementChain

__all__ = ["Cosigning", "CosigningParts"]

# The head held, and what others showed to a witness that forgot.
_ROUNDS: Final = 18
_NEXT_GROUP_S: Final = 2
_ASK_AGAIN_MS: Final = 60_000
# A restored node's links come up one after the other.
_LEARN_EVERY_S: Final = 10
_MINUTE_MS: Final = 60_000
_MINUTES_OF_A_DAY: Final = 24 * 60

_logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CosigningParts:
    """What all links of a node share."""

    node_id: NodeId
    database: Database
    directory: Directory
    peers: PeerRows
    heads: CosignedHeads
    witness: WitnessRows
    verifiers: Verifiers


class Cosigning:
    """Of one link. shown: judges heads of the peer, where a new epoch begins. replica: keeps alarms."""

    def __init__(
        self,
        link: PeerLink,
        parts: CosigningParts,
        *,
        shown: HeadsShown,
        replica: FeedReplica,
    ) -> None:
        self._link = link
        self._parts = parts
        self._shown = shown
        self._replica = replica
        self._one_at_a_time = trio.Lock()
        self._proved: tuple[str, set[str]] = ("", set())
        self._last_size = 0

    # -- as a witness

    async def answer(self, request: CosignGet) -> Cosigned:
        """Cosign a head of the peer's, or say why not. RemoteProtocolError for what no honest node would ask."""
        head = peek_checkpoint(request.head)
        kind, node, _ = parse_origin(head.origin)
        if kind != "log" or node != self._link.peer:
            raise RemoteProtocolError(Reason.MISMATCH, "a head to be cosigned that is not of the peer's log")
        async with self._one_at_a_time:
            chain = await self._shown.chain()
            try:
                self._parts.verifiers.of(chain).open(request.head)
            except RemoteProtocolError as error:
                if error.reason is not Reason.UNKNOWN_KEY:
                    raise
                return Cosigned(code="unknown_key")
            try:
                return await self._decide(request, head, chain)
            except StoreError as error:
                _logger.warning("not cosigned", peer=self._link.peer.text[:12], reason=str(error))
                return Cosigned(code="busy", after_ms=_ASK_AGAIN_MS)

    async def _decide(self, request: CosignGet, head: Checkpoint, chain: StatementChain) -> Cosigned:
        database, epoch = self._parts.database, parse_origin(head.origin)[2]
        view = await self._view()
        held_epoch = _epoch_of(view.held)
        if (
            epoch not in (held_epoch, held_epoch + 1)
            and epoch > database.world.now_ms() // _MINUTE_MS + _MINUTES_OF_A_DAY
        ):
            return Cosigned(code="not_yet_valid")
        if held_epoch and epoch > held_epoch and not view.frozen:
            # A new epoch is entered in the same way, whoever shows it first.
            await self._shown.take([request.head])
            view = await self._view()
        if view.forgotten:
            return Cosigned(code="recovering", after_ms=_ASK_AGAIN_MS)
        if view.frozen or epoch <= view.closed_epoch:
            return Cosigned(code="frozen")
        if epoch < max(_epoch_of(note) for note in (view.held, *view.shown)):
            return Cosigned(code="rollback")
        for note in (view.held, *view.shown):
            if note is not None and _epoch_of(note) == epoch:
                refused = await self._compare(request, head, note, chain)
                if refused is not None:
                    return refused
        order = CosignOrder(self._link.peer, request.head, view)
        cosignature = await database.write(self._parts.witness.cosign, order)
        if cosignature is None:  # another link, or another process, was faster
            held = (await self._view()).held
            size = 0 if held is None else peek_checkpoint(held).size
            return Cosigned(code="stale", size=size)
        return Cosigned(cosignature=cosignature)

    async def _view(self) -> WitnessView:
        parts = self._parts
        return await parts.database.read(parts.witness.view, self._link.peer, parts.database.world.now_ms())

    async def _compare(
        self, request: CosignGet, head: Checkpoint, note: bytes, chain: StatementChain
    ) -> Cosigned | None:
        """Whether the head and one that is held are of one history: None, or the refusal."""
        held = peek_checkpoint(note)
        if self._proved[0] != head.text:
            self._proved = (head.text, set())
        if held.text in self._proved[1] or held.text == head.text or not held.size:
            return None
        if held.size == head.size:
            await self._alarm(chain, note, request, "log_fork")
            return Cosigned(code="fork")
        if request.old_size != held.size:
            return Cosigned(code="stale", size=held.size)
        small, large = sorted((held, head), key=lambda item: item.size)
        try:
            verify_consistency(
                old_size=small.size,
                old_root=small.root,
                new_size=large.size,
                new_root=large.root,
                proof=request.hashes,
            )
        except RemoteProtocolError:
            code = "bad_proof" if fork_shown(note, request.head, request.hashes) is None else "fork"
            await self._alarm(chain, note, request, f"log_{code}")
            return Cosigned(code=code)
        self._proved[1].add(held.text)
        return None

    async def _alarm(self, chain: StatementChain, held: bytes, request: CosignGet, code: str) -> None:
        """The same alarm as for heads shown in any other way. One that people settled raises none again."""
        if await self._replica.is_settled(peek_checkpoint(request.head)):
            return
        proof = fork_shown(held, request.head, request.hashes) or prove_fork(held, request.head)
        if await self._replica.keep_alarm(chain, proof, code):
            _logger.error("two histories, seen while cosigning", peer=self._link.peer.text[:12], code=code)

    async def held(self, request: HeldGet) -> Held:
        """Which heads of a node's log are held here."""
        return Held(await self._parts.database.read(self._parts.witness.held, request.node))

    async def learn(self) -> None:
        """After a loss: ask this peer for heads of the other peers' logs, while the link lasts."""
        parts = self._parts
        while True:
            ticket = parts.database.signals.ticket(FEED)
            for owner in await parts.database.read(parts.witness.to_ask, self._link.peer):
                reply = await self._link.ask(HeldGet(owner))
                assert isinstance(reply, Held)
                heads = await self._verified(owner, reply)
                await parts.database.write(parts.witness.learn, ShownHeads(owner, self._link.peer, heads))
            await ticket.wait()
            await trio.sleep(_LEARN_EVERY_S)

    async def _verified(self, owner: NodeId, reply: Held) -> tuple[bytes, ...]:
        """Heads of the owner's log among these; an alarm where two of one size differ. RemoteProtocolError: false."""
        chain = await self._parts.database.read(self._parts.directory.trusted_chain, owner)
        if chain is None:
            return ()
        found = []
        for note in reply.heads:
            try:
                head = self._parts.verifiers.of(chain).open(note)
            except RemoteProtocolError as error:
                if error.reason is not Reason.UNKNOWN_KEY:
                    raise
                continue  # under a key that we do not have yet, or that was lost since
            if parse_origin(head.origin)[0] != "log":
                raise RemoteProtocolError(Reason.MISMATCH, "a feed's head where a log's was asked for")
            found.append(note)
        view = await self._parts.database.read(self._parts.witness.view, owner, self._parts.database.world.now_ms())
        for note in found:
            for other in (view.held, *view.shown):
                if other is not None and _contradict(other, note):
                    await self._replica.keep_alarm(chain, prove_fork(other, note), "log_fork")
        return tuple(found)

    # -- as an owner

    async def offer(self) -> None:
        """Offer each head that is chosen to this peer, in its turn, while the link lasts."""
        parts = self._parts
        offered: tuple[int, int] | None = None
        while True:
            ticket = parts.database.signals.ticket(COSIGNING)
            chosen = await parts.database.read(parts.heads.newest)
            if chosen is not None and (chosen.epoch, chosen.size) != offered:
                offered = (chosen.epoch, chosen.size)
                with trio.CancelScope() as scope:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(_cancel_when, ticket, scope)
                        await self._in_turn(chosen)
                        nursery.cancel_scope.cancel()
                if scope.cancelled_caught:
                    continue
            await ticket.wait()

    async def _in_turn(self, chosen: CosignedHead) -> None:
        parts, asked = self._parts, self._parts.heads.settings.ask_witnesses
        group = await parts.database.read(self._turn) // asked
        if group:
            await trio.sleep(group * _NEXT_GROUP_S)
            now = await parts.database.read(parts.heads.newest)
            if now is None or now.size != chosen.size or now.cosigners >= asked:
                return
        await self._offer(chosen)

    def _turn(self, connection: sa.Connection) -> int:
        """The place of this peer among all that may be asked: the same for every head, so that proofs are short."""
        own, peer = self._parts.node_id, self._link.peer
        ids = self._parts.peers.accepted_ids(connection)
        mine = sha256(own, peer)
        return sum(sha256(own, other) < mine for other in ids)

    async def _offer(self, chosen: CosignedHead) -> None:
        parts, old_size = self._parts, self._last_size
        for _ in range(_ROUNDS):
            hashes = await parts.database.read(_proof, chosen, old_size)
            if hashes is None:
                return  # it holds more than there is: hello tells what is lost
            reply = await self._link.ask(CosignGet(head=chosen.head, old_size=old_size, hashes=hashes))
            assert isinstance(reply, Cosigned)
            if reply.cosignature:
                await self._keep(chosen, reply.cosignature)
                self._last_size = chosen.size
                return
            if reply.code != "stale" or reply.size in (0, old_size):
                _logger.info("a peer does not cosign", peer=self._link.peer.text[:12], code=reply.code)
                return
            old_size = reply.size

    async def _keep(self, chosen: CosignedHead, cosignature: bytes) -> None:
        chain = await self._shown.chain()
        failure = RemoteProtocolError(Reason.BAD_SIGNATURE, "a cosignature under no key of the peer's")
        for key in chain.trusted_witness_keys():
            try:
                verify_cosignature(chosen.note, cosignature, key)
            except RemoteProtocolError as error:
                failure = error
                continue
            item = NewCosignature(chosen.epoch, chosen.size, self._link.peer, key, cosignature)
            await self._parts.database.write(self._parts.heads.add, item)
            return
        raise failure


async def _cancel_when(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


def _epoch_of(note: bytes | None) -> int:
    return 0 if note is None else parse_origin(peek_checkpoint(note).origin)[2]


def _contradict(one: bytes, other: bytes) -> bool:
    first, second = peek_checkpoint(one), peek_checkpoint(other)
    return (first.origin, first.size) == (second.origin, second.size) and first.root != second.root


def _proof(connection: sa.Connection, chosen: CosignedHead, other: int) -> tuple[bytes, ...] | None:
    """The consistency proof between a chosen head and another size; None if the log is not that large."""
    if other in (0, chosen.size):
        return ()
    table = schema.log_epochs
    size = connection.execute(sa.select(table.c.size).where(table.c.epoch == chosen.epoch)).scalar_one()
    if other > size:
        return None
    small, large = sorted((other, chosen.size))
    return tuple(consistency_proof(small, large, StoredTileReader(connection, chosen.epoch)))
