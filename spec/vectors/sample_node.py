"""A node made of names alone: every key, id and opening is a hash of a word, so the same bytes come out each time.

For vectors and tests; its secrets are no secrets.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from protocol.certificate import build_certificate
from protocol.checkpoint import Checkpoint, feed_origin, log_origin, sign_checkpoint
from protocol.cosignature import cosign, witness_name
from protocol.crypto import SealSecret, SigningSecret, VerifyKey, sha256
from protocol.details import Details, encode_details
from protocol.entry import InstitutionEntry, MailboxEntry
from protocol.entry_evidence import EntryEvidence
from protocol.evidence import Evidence
from protocol.evidence_file import NodeStatements
from protocol.feed import OperationKind, make_operation
from protocol.ids import LeafTag
from protocol.logleaf import EventKind, make_leaf
from protocol.merkle import ListReader, inclusion_proof, leaf_hash, root_of
from protocol.statement import Statement, StatementChain, encode_statement, sign_statement
from protocol.tlogproof import TlogProof

__all__ = ["SampleNode", "bytes_of", "seal_secret_of", "signing_secret_of"]

FROM_MS = 1_790_000_000_000
UNTIL_MS = FROM_MS + 400 * 86_400_000


def bytes_of(word: str, length: int = 32) -> bytes:
    """Bytes that stand for random ones: SHA-256 of the word and a counter."""
    blocks = (sha256(f"{word}/{count}".encode()) for count in range((length + 31) // 32))
    return b"".join(blocks)[:length]


def signing_secret_of(word: str) -> SigningSecret:
    """An Ed25519 secret."""
    return SigningSecret(bytes_of(f"{word}/signing"))


def seal_secret_of(word: str) -> SealSecret:
    """A seal secret."""
    return SealSecret(bytes_of(f"{word}/seal", 96))


@dataclass(frozen=True, slots=True)
class _Logged:
    leaf: bytes
    opening: bytes
    body: bytes


class SampleNode:
    """A node with its statements, one epoch of a log and one of a feed, all in memory."""

    def __init__(self, name: str, *, witness: str = "") -> None:
        """name: any word; another word makes another node. witness: whose witness key it bears, its own if empty."""
        self.name = name
        self.witness_secret = signing_secret_of(f"{witness or name}/witness")
        self.identity = signing_secret_of(f"{name}/identity")
        self.recovery = signing_secret_of(f"{name}/recovery")
        self.log_secret = signing_secret_of(f"{name}/log")
        first = Statement(
            number=0,
            previous=None,
            identity_key=self.identity.verify_key,
            recovery_key=self.recovery.verify_key,
            link_certificates=(build_certificate(signing_secret_of(f"{name}/link")),),
            log_key=self.log_secret.verify_key,
            witness_key=self.witness_secret.verify_key,
            pq_key=bytes_of(f"{name}/pq", 1312),
            seal_keys=(seal_secret_of(name).seal_key,),
            valid_from_ms=FROM_MS,
            valid_until_ms=UNTIL_MS,
        )
        self.chain = StatementChain.from_genesis(sign_statement(encode_statement(first), own=self.identity))
        self.node_id = self.chain.node_id
        self._log: list[_Logged] = []
        self._feed: list[_Logged] = []

    @property
    def statements(self) -> NodeStatements:
        """The chain as an evidence file holds it."""
        return NodeStatements(self.node_id, tuple(self.chain.raw_list()))

    def renew(self, *, valid_from_ms: int | None = None, pq_key: bytes | None = None) -> None:
        """Replace identity, log key and, if given, post-quantum key by a statement that the identity key before signs.

        valid_from_ms: in force from then on; as the one before unless given.
        """
        self._succeed(bad_from_ms=None, valid_from_ms=valid_from_ms, pq_key=pq_key)

    def recover(self, *, bad_from_ms: int) -> None:
        """Replace identity and log key by a statement that the recovery key signs."""
        self._succeed(bad_from_ms=bad_from_ms)

    def _succeed(
        self, *, bad_from_ms: int | None, valid_from_ms: int | None = None, pq_key: bytes | None = None
    ) -> None:
        last = self.chain.statements[-1]
        number = last.statement.number + 1
        before = self.identity
        self.identity = signing_secret_of(f"{self.name}/identity/{number}")
        self.log_secret = signing_secret_of(f"{self.name}/log/{number}")
        statement = replace(
            last.statement,
            number=number,
            previous=last.hash,
            identity_key=self.identity.verify_key,
            log_key=self.log_secret.verify_key,
            bad_from_ms=bad_from_ms,
            pq_key=pq_key or last.statement.pq_key,
            valid_from_ms=last.statement.valid_from_ms if valid_from_ms is None else valid_from_ms,
        )
        second = {"previous": before} if bad_from_ms is None else {"recovery": self.recovery}
        raw = sign_statement(encode_statement(statement), own=self.identity, **second)
        self.chain = self.chain.extend(raw)

    def replace_witness(self, key: VerifyKey) -> None:
        """Make the node anew with this witness key: another node id."""
        statement = replace(self.chain.statements[0].statement, witness_key=key)
        self.chain = StatementChain.from_genesis(sign_statement(encode_statement(statement), own=self.identity))
        self.node_id = self.chain.node_id

    def log(self, kind: EventKind, details: Details, *, time_ms: int, tag: LeafTag) -> int:
        """Append an event to the log; its index."""
        opening, body = bytes_of(f"{self.name}/opening/{len(self._log)}"), encode_details(details)
        leaf = make_leaf(kind=kind, time_ms=time_ms, tag=tag, opening=opening, details=body)
        self._log.append(_Logged(leaf.encode(), opening, body))
        return len(self._log) - 1

    def publish(self, entry: InstitutionEntry | MailboxEntry, *, version: int = 1) -> int:
        """Append an entry to the feed; its index."""
        kind, subject = OperationKind.INSTITUTION, bytes_of(f"{self.name}/subject", 16)
        if isinstance(entry, MailboxEntry):
            kind, subject = OperationKind.MAILBOX, entry.mailbox
        opening, body = bytes_of(f"{self.name}/entry/{len(self._feed)}"), entry.encode()
        leaf = make_operation(kind, subject, version, body, opening).leaf
        self._feed.append(_Logged(leaf.encode(), opening, body))
        return len(self._feed) - 1

    def publish_sample(self) -> int:
        """Append an entry of an institution that bears the node's name; its index."""
        domain = f"{self.name}.example"
        return self.publish(InstitutionEntry(names=(self.name,), kind="hospital", domains=(domain,), statement=0))

    def log_head(self, origin: str | None = None) -> bytes:
        """The signed head of the log, under its origin or (falsely) under another."""
        return self._head(origin or log_origin(self.node_id, 1), self._log)

    def feed_head(self, origin: str | None = None) -> bytes:
        """The signed head of the feed, likewise."""
        return self._head(origin or feed_origin(self.node_id, 1), self._feed)

    def _head(self, origin: str, logged: list[_Logged]) -> bytes:
        root = root_of([leaf_hash(item.leaf) for item in logged])
        return sign_checkpoint(Checkpoint(origin, len(logged), root), self.log_secret)

    def _proof(self, index: int, logged: list[_Logged], head: bytes) -> TlogProof:
        reader = ListReader([leaf_hash(item.leaf) for item in logged])
        return TlogProof(index, tuple(inclusion_proof(index, len(logged), reader)), head)

    def evidence(self, index: int) -> Evidence:
        """The evidence of one event under the present head."""
        item = self._log[index]
        return Evidence(item.leaf, item.opening, item.body, self._proof(index, self._log, self.log_head()))

    def cosigned_evidence(self, index: int, *witnesses: SampleNode, time_s: int) -> Evidence:
        """The same under that head, cosigned by these, in the order of their names."""
        evidence = self.evidence(index)
        head = evidence.proof.checkpoint
        for witness in sorted(witnesses, key=lambda node: witness_name(node.node_id)):
            head = cosign(head, name=witness_name(witness.node_id), secret=witness.witness_secret, time_s=time_s)
        return replace(evidence, proof=replace(evidence.proof, checkpoint=head))

    def entry_evidence(self, index: int) -> EntryEvidence:
        """The proof of one entry under the present head."""
        item = self._feed[index]
        return EntryEvidence(item.leaf, item.opening, item.body, self._proof(index, self._feed, self.feed_head()))
