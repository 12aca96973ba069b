"""Following a feed on trio and on asyncio: what is true is kept whole, what is false leaves the store as it was."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest

from directory_sync.acquaintance import KnownNode, propose
from directory_sync.follow import FeedBatch, FollowResult, follow
from directory_sync.lookup import nearest
from protocol.certificate import build_certificate
from protocol.checkpoint import Checkpoint, CheckpointVerifier, feed_origin, sign_checkpoint
from protocol.crypto import SealSecret, SigningSecret
from protocol.errors import Reason, RemoteProtocolError
from protocol.feed import FeedState, Operation, OperationKind, decode_operation, make_operation
from protocol.ids import MailboxId, NodeId
from protocol.invite import Invite
from protocol.statement import PQ_KEY_BYTES, Statement, StatementChain, encode_statement, sign_statement
from spec.vectors.make_feed import OPENING, mailbox

LOG = SigningSecret(bytes([5]) * 32)
NODE = NodeId(bytes([9]) * 32)
BACKENDS = ["trio", "asyncio"]


class Journal:
    """A feed at its owner, and a follower's store."""

    def __init__(self, count: int) -> None:
        self.operations = [self.made(number) for number in range(count)]
        self.kept = FeedState()
        self.head = b""

    @staticmethod
    def made(number: int) -> bytes:
        subject = MailboxId(number.to_bytes(15, "big") + b"\x01")
        return make_operation(OperationKind.MAILBOX, subject, 1, mailbox(subject).encode(), OPENING).encode()

    def signed_head(self, size: int | None = None, root: bytes | None = None, log: SigningSecret = LOG) -> bytes:
        state = FeedState()
        operations = [decode_operation(raw) for raw in self.operations[:size]]
        state.apply(operations, max_entries=10**6, max_bytes=10**9)
        return sign_checkpoint(Checkpoint(feed_origin(NODE, 1), state.size, root or state.tree.root()), log)

    async def operations_from(self, first: int) -> FeedBatch:
        part = tuple(self.operations[first : first + 3])
        return FeedBatch(part, self.signed_head(), first + len(part) < len(self.operations))

    # FeedSource and FeedStore
    async def load(self, node: NodeId, epoch: int) -> FeedState:
        return self.kept

    async def commit(
        self, node: NodeId, epoch: int, operations: Sequence[Operation], state: FeedState, head: bytes
    ) -> None:
        self.kept, self.head = state, head


class Source:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def operations(self, node: NodeId, epoch: int, first: int) -> FeedBatch:
        return await self._journal.operations_from(first)


def run(journal: Journal, head: bytes, backend: str, max_entries: int = 1000) -> FollowResult:
    async def body() -> FollowResult:
        return await follow(
            NODE,
            1,
            head,
            verifier=CheckpointVerifier(NODE, [LOG.verify_key]),
            source=Source(journal),
            store=journal,
            max_entries=max_entries,
            max_bytes=10**9,
        )

    return anyio.run(body, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_feed_is_followed_in_batches_and_kept_current(backend: str) -> None:
    journal = Journal(8)
    assert run(journal, journal.signed_head(), backend) == FollowResult(8, 8)
    assert run(journal, journal.signed_head(), backend) == FollowResult(0, 8)
    journal.operations.append(journal.made(8))
    assert run(journal, journal.signed_head(), backend) == FollowResult(1, 9)
    assert journal.head == journal.signed_head()
    assert len(journal.kept.live) == 9


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        ("smaller", Reason.ROLLBACK),
        ("other_root", Reason.FORK),
        ("other_key", Reason.UNKNOWN_KEY),
        ("wrong_operations", Reason.BAD_PROOF),
        ("quota", Reason.TOO_LARGE),
    ],
)
def test_lies_leave_the_store_as_it_was(backend: str, lie: str, reason: Reason) -> None:
    journal = Journal(5)
    run(journal, journal.signed_head(), backend)
    before = journal.kept
    head, max_entries = journal.signed_head(), 1000
    match lie:
        case "smaller":
            head = journal.signed_head(4)
        case "other_root":
            head = journal.signed_head(root=bytes(32))
        case "other_key":
            head = journal.signed_head(log=SigningSecret(bytes([6]) * 32))
        case "wrong_operations":
            journal.operations.append(journal.made(5))
            head = journal.signed_head()
            journal.operations[5] = journal.made(6)
            journal.operations_from = _with_head(journal, head)  # type: ignore[method-assign]
        case "quota":
            journal.operations.append(journal.made(5))
            head, max_entries = journal.signed_head(), 5
    with pytest.raises(RemoteProtocolError) as caught:
        run(journal, head, backend, max_entries)
    assert caught.value.reason is reason
    assert journal.kept is before


def _with_head(journal: Journal, head: bytes):  # type: ignore[no-untyped-def]
    async def operations_from(first: int) -> FeedBatch:
        return FeedBatch(tuple(journal.operations[first:]), head, False)

    return operations_from


def test_nearest_addresses_fold_case_and_accents() -> None:
    known = ["dr.helene@pont.example", "dr.henri@pont.example", "dr.helene@lilas.example", "urgences@pont.example"]
    assert nearest("Dr.Hélène@pont.example", known)[0] == "dr.helene@pont.example"
    assert nearest("dr.helne@pont.example", known)[0] == "dr.helene@pont.example"
    assert nearest("zzz@nowhere.test", known) == ()
    assert len(nearest("dr.h@pont.example", known, limit=2)) <= 2


def chain_of(seed: int) -> StatementChain:
    keys = [SigningSecret(bytes([seed, number]) * 16) for number in range(5)]
    statement = Statement(
        number=0,
        previous=None,
        identity_key=keys[0].verify_key,
        recovery_key=keys[1].verify_key,
        link_certificates=(build_certificate(keys[2]),),
        log_key=keys[3].verify_key,
        witness_key=keys[4].verify_key,
        pq_key=bytes(PQ_KEY_BYTES),
        seal_keys=(SealSecret(bytes([seed]) * 96).seal_key,),
        valid_from_ms=0,
        valid_until_ms=1000,
    )
    return StatementChain.from_genesis(sign_statement(encode_statement(statement), own=keys[0]))


def test_invitations_are_judged_before_anybody_accepts_them() -> None:
    ours, theirs = chain_of(1), chain_of(2)
    own = KnownNode(node_id=ours.node_id, institution="Ours", domain="ours.example", keys=frozenset())
    invite = Invite(chain=theirs, institution="Theirs", domain="theirs.example", endpoints=(), made_at_ms=1)
    good = propose(invite, own=own, known=(), now_ms=10)
    assert (good.refusal, good.warnings, good.is_renewal) == ("", (), False)
    assert "own invitation" in propose(
        Invite(chain=ours, institution="Ours", domain="ours.example", endpoints=(), made_at_ms=1),
        own=own,
        known=(),
        now_ms=10,
    ).refusal  # fmt: skip
    assert "expired" in propose(invite, own=own, known=(), now_ms=1000).refusal
    holder = KnownNode(
        node_id=NODE,
        institution="Holder",
        domain="theirs.example",
        keys=frozenset({theirs.current.identity_key}),
    )
    contested = propose(invite, own=own, known=(holder,), now_ms=10)
    assert "held by Holder" in contested.refusal
    assert "shares a key with Holder" in contested.warnings[0]
    renewed = KnownNode(node_id=theirs.node_id, institution="Theirs", domain="theirs.example", keys=frozenset())
    assert propose(invite, own=own, known=(renewed,), now_ms=10).is_renewal
