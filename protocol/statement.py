"""A node's chain of signed statements: an id that never changes, keys that do. Spec: spec/identity.md, 2 to 4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from protocol.certificate import MAX_CERTIFICATE_BYTES, check_certificate
from protocol.codec import FieldReader, Value, check_binary, decode, decode_map, encode
from protocol.crypto import SealKey, SigningSecret, VerifyKey, hash_labelled
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.ids import NodeId
from protocol.labels import Label
from protocol.mldsa import PqKey

__all__ = [
    "MAX_CHAIN",
    "MAX_STATEMENT_BYTES",
    "PQ_KEY_BYTES",
    "SignedStatement",
    "Statement",
    "StatementChain",
    "decode_signed_statement",
    "encode_statement",
    "node_digits",
    "parse_digits",
    "sign_statement",
]

# About 3.3 kB with one certificate and one seal key, 5 kB with two of each; the rest is room for later fields.
MAX_STATEMENT_BYTES: Final = 16 * 1024
# A renewal each year and a recovery now and then: centuries.
MAX_CHAIN: Final = 512
PQ_KEY_BYTES: Final = 1312
_MAX_TIME_MS: Final = 2**62
_KNOWN_SIGNATURES: Final = ("own", "prev", "rec")


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement. number counts from 0; previous is H("statement", statement n−1), None in the first.

    link_certificates: DER, one, or two during a change. seal_keys likewise, the one to use first. pq_key: ML-DSA-44.
    valid_from_ms, valid_until_ms: milliseconds UTC. bad_from_ms: in a recovery, and only there, since when the lost key
    is not to be believed. extra: fields of later versions, kept.
    """

    number: int
    previous: bytes | None
    identity_key: VerifyKey
    recovery_key: VerifyKey
    link_certificates: tuple[bytes, ...]
    log_key: VerifyKey
    witness_key: VerifyKey
    pq_key: bytes
    seal_keys: tuple[SealKey, ...]
    valid_from_ms: int
    valid_until_ms: int
    bad_from_ms: int | None = None
    extra: dict[str, Value] = field(default_factory=dict)


# Of a msgpack binary by its first byte: how long its header is.
_BINARY_HEADS: Final = {0xC4: 2, 0xC5: 3}


@dataclass(frozen=True, slots=True)
class SignedStatement:
    """A statement with its signatures; raw is what travels and is stored."""

    raw: bytes
    statement: Statement
    signatures: dict[str, bytes]

    @property
    def statement_bytes(self) -> bytes:
        """What is signed. Cut out of `raw` each time: of a country's nodes the copies alone would take 10 MB."""
        head = _BINARY_HEADS[self.raw[1]]
        start = 1 + head
        return self.raw[start : start + int.from_bytes(self.raw[2:start], "big")]

    @property
    def by_recovery(self) -> bool:
        """Whether the recovery key signed it."""
        return "rec" in self.signatures

    @property
    def hash(self) -> bytes:
        """H("statement", statement bytes): what the next one names as its previous."""
        return hash_labelled(Label.STATEMENT, self.statement_bytes)


def encode_statement(statement: Statement) -> bytes:
    """The bytes to sign."""
    fields: dict[str, Value] = {
        **statement.extra,
        "v": 1,
        "n": statement.number,
        "id": bytes(statement.identity_key),
        "rec": bytes(statement.recovery_key),
        "link": list(statement.link_certificates),
        "log": bytes(statement.log_key),
        "wit": bytes(statement.witness_key),
        "pq": statement.pq_key,
        "seal": [bytes(key) for key in statement.seal_keys],
        "from": statement.valid_from_ms,
        "until": statement.valid_until_ms,
    }
    if statement.previous is not None:
        fields["prev"] = statement.previous
    if statement.bad_from_ms is not None:
        fields["bad_from"] = statement.bad_from_ms
    return encode(fields)


def sign_statement(
    statement_bytes: bytes,
    *,
    own: SigningSecret,
    previous: SigningSecret | None = None,
    recovery: SigningSecret | None = None,
) -> bytes:
    """The signed statement: by its own identity key, and by the one it replaces or by the recovery key.

    LocalProtocolError if both are given: which of the two signed decides what the statement may do.
    """
    if previous is not None and recovery is not None:
        raise LocalProtocolError("a statement is signed by the key before or by recovery, not by both")
    signatures = {"own": own.sign(Label.STATEMENT, statement_bytes)}
    if previous is not None:
        signatures["prev"] = previous.sign(Label.STATEMENT, statement_bytes)
    if recovery is not None:
        signatures["rec"] = recovery.sign(Label.STATEMENT, statement_bytes)
    return encode([statement_bytes, signatures])


def _decode_statement(data: bytes) -> Statement:
    fields = decode_map(data, max_bytes=MAX_STATEMENT_BYTES)
    fields.version()
    number = fields.integer("n", high=MAX_CHAIN - 1)
    certificates = tuple(
        check_binary(item, "link", 1, MAX_CERTIFICATE_BYTES) for item in fields.items("link", low=1, high=2)
    )
    keys = [VerifyKey.checked(fields.fixed(name, 32)) for name in ("id", "rec", "log", "wit")]
    link_keys = [check_certificate(der) for der in certificates]
    if len({*keys, *link_keys}) != len(keys) + len(link_keys):
        raise RemoteProtocolError(Reason.BAD_KEY, "one key for two uses")
    statement = Statement(
        number=number,
        previous=fields.fixed("prev", 32) if number else None,
        identity_key=keys[0],
        recovery_key=keys[1],
        link_certificates=certificates,
        log_key=keys[2],
        witness_key=keys[3],
        pq_key=fields.fixed("pq", PQ_KEY_BYTES),
        seal_keys=tuple(
            SealKey.checked(check_binary(item, "seal", SealKey.LENGTH, SealKey.LENGTH))
            for item in fields.items("seal", low=1, high=2)
        ),
        valid_from_ms=fields.integer("from", high=_MAX_TIME_MS),
        valid_until_ms=fields.integer("until", high=_MAX_TIME_MS),
        bad_from_ms=fields.integer("bad_from", high=_MAX_TIME_MS) if "bad_from" in fields else None,
        extra=fields.rest(),
    )
    if number == 0 and ("prev" in statement.extra or statement.bad_from_ms is not None):
        raise RemoteProtocolError(Reason.MALFORMED, "a first statement follows nothing and recovers nothing")
    if statement.valid_until_ms <= statement.valid_from_ms:
        raise RemoteProtocolError(Reason.MALFORMED, "no time of validity")
    return statement


def decode_signed_statement(raw: bytes) -> SignedStatement:
    """Take a signed statement apart: shape, keys, certificates, and its own signature. Not yet its place in a chain.

    RemoteProtocolError: too_large, malformed, not_canonical, too_deep, unknown_version, bad_key, bad_certificate,
    bad_signature.
    """
    outer = decode(raw, max_bytes=MAX_STATEMENT_BYTES + 1024)
    if not isinstance(outer, list) or len(outer) != 2:
        raise RemoteProtocolError(Reason.MALFORMED, "expected [statement, signatures]")
    statement_bytes = check_binary(outer[0], "statement", 1, MAX_STATEMENT_BYTES)
    fields = FieldReader(outer[1])
    signatures = {name: fields.fixed(name, 64) for name in _KNOWN_SIGNATURES if name in fields}
    fields.done()
    statement = _decode_statement(statement_bytes)
    # The signed bytes say who must sign them. Were it left to the signatures beside them, a thief of the key before
    # could put an own one in the place of the recovery key's, and the recovery would count as a plain renewal.
    second = () if statement.number == 0 else ("prev",) if statement.bad_from_ms is None else ("rec",)
    if set(signatures) != {"own", *second}:
        raise RemoteProtocolError(Reason.BAD_SIGNATURE, f"statement {statement.number} needs own {' '.join(second)}")
    statement.identity_key.verify(Label.STATEMENT, statement_bytes, signatures["own"])
    return SignedStatement(raw, statement, signatures)


@dataclass(frozen=True, slots=True)
class StatementChain:
    """A node's statements in force, oldest first, each verified against the one before.

    `superseded`: statements that a recovery cancelled. They give no key to trust; their log keys verify old evidence.
    """

    node_id: NodeId
    statements: tuple[SignedStatement, ...]
    superseded: tuple[SignedStatement, ...] = ()

    @property
    def current(self) -> Statement:
        """The newest statement."""
        return self.statements[-1].statement

    @classmethod
    def from_genesis(cls, raw: bytes) -> StatementChain:
        """A chain of one. Its hash is the node id. RemoteProtocolError if it is not a valid first statement."""
        signed = decode_signed_statement(raw)
        if signed.statement.number != 0:
            raise RemoteProtocolError(Reason.MALFORMED, "not a first statement")
        return cls(NodeId(hash_labelled(Label.NODE_ID, signed.statement_bytes)), (signed,))

    @classmethod
    def from_raw_list(cls, raws: Sequence[bytes]) -> StatementChain:
        """A chain from its statements, cancelled ones included, each after the one that it follows."""
        if not raws or len(raws) > MAX_CHAIN:
            raise RemoteProtocolError(Reason.MALFORMED, f"a chain has 1 to {MAX_CHAIN} statements")
        chain = cls.from_genesis(raws[0])
        for raw in raws[1:]:
            chain = chain.extend(raw)
        return chain

    def raw_list(self) -> list[bytes]:
        """What `from_raw_list` takes. Cancelled statements come last, each after the recovery that cancelled it."""
        return [signed.raw for signed in (*self.statements, *self.superseded)]

    def extend(self, raw: bytes) -> StatementChain:
        """The chain with one more statement. One already in it changes nothing.

        RemoteProtocolError: as decode_signed_statement, bad_signature, mismatch (does not follow), fork (two successors
        with the same sort of signature: keep both statements as proof).
        """
        signed = decode_signed_statement(raw)
        number, previous = signed.statement.number, signed.statement.previous
        if any(known.statement_bytes == signed.statement_bytes for known in (*self.statements, *self.superseded)):
            return self
        cancelled = next((known for known in self.superseded if known.hash == previous), None)
        before = cancelled or (self.statements[number - 1] if 0 < number <= len(self.statements) else None)
        if before is None or previous != before.hash or number != before.statement.number + 1:
            raise RemoteProtocolError(Reason.MISMATCH, f"statement {number} follows none of this chain")
        # Checked also where the statement will be cancelled: its log key enters log_keys, where a stranger must not
        # put one.
        self._check_second_signature(signed, before.statement)
        replaced = () if cancelled else self.statements[number:]
        if cancelled or any(known.by_recovery for known in replaced):
            # Recovery has spoken on another branch: what identity keys sign here is cancelled, now as later.
            if signed.by_recovery:
                raise RemoteProtocolError(Reason.FORK, "the recovery key signed two branches")
            return self._joined(self.statements, (*self.superseded, signed))
        if replaced and not signed.by_recovery:
            raise RemoteProtocolError(Reason.FORK, f"two statements with number {number}")
        return self._joined((*self.statements[:number], signed), (*self.superseded, *replaced))

    def _joined(
        self, statements: tuple[SignedStatement, ...], superseded: tuple[SignedStatement, ...]
    ) -> StatementChain:
        """The chain of these. Who holds a lost key can make any number of statements that will be cancelled: of those
        no more are kept than there is room for beside the ones in force, the first to arrive.
        """
        return StatementChain(self.node_id, statements, superseded[: MAX_CHAIN - len(statements)])

    @staticmethod
    def _check_second_signature(signed: SignedStatement, before: Statement) -> None:
        if signed.by_recovery:
            before.recovery_key.verify(Label.STATEMENT, signed.statement_bytes, signed.signatures["rec"])
            return
        before.identity_key.verify(Label.STATEMENT, signed.statement_bytes, signed.signatures["prev"])
        if signed.statement.recovery_key != before.recovery_key:
            raise RemoteProtocolError(Reason.BAD_SIGNATURE, "only recovery changes the recovery key")

    def at(self, number: int) -> Statement:
        """The statement with this number. LocalProtocolError if there is none."""
        if not 0 <= number < len(self.statements):
            raise LocalProtocolError(f"no statement {number}")
        return self.statements[number].statement

    def in_force(self, number: int, time_ms: int) -> bool:
        """Whether statement `number` may be used for something made at this time: within its time, and before any
        recovery above it says that its keys were lost.
        """
        if not 0 <= number < len(self.statements):
            return False
        statement = self.statements[number].statement
        lost_ms = [
            later.statement.bad_from_ms
            for later in self.statements[number + 1 :]
            if later.statement.bad_from_ms is not None
        ]
        return statement.valid_from_ms <= time_ms < min((statement.valid_until_ms, *lost_ms))

    def log_keys(self) -> tuple[VerifyKey, ...]:
        """Every log key that this node ever stated, newest first."""
        keys = dict.fromkeys(item.statement.log_key for item in (*self.statements[::-1], *self.superseded[::-1]))
        return tuple(keys)

    def trusted_log_keys(self) -> tuple[VerifyKey, ...]:
        """The log keys that live heads and evidence are verified under: those stated since the last recovery, so that
        a thief of a lost key forges nothing new; all of them where there was none.
        """
        return tuple(dict.fromkeys(item.statement.log_key for item in reversed(self._since_recovery())))

    def _since_recovery(self) -> tuple[SignedStatement, ...]:
        kept = self.statements
        for at, signed in enumerate(self.statements):
            if signed.by_recovery:
                kept = self.statements[at:]
        return kept

    def witness_keys(self) -> tuple[VerifyKey, ...]:
        """Every witness key that this node ever stated, newest first."""
        keys = dict.fromkeys(item.statement.witness_key for item in (*self.statements[::-1], *self.superseded[::-1]))
        return tuple(keys)

    def trusted_witness_keys(self) -> tuple[VerifyKey, ...]:
        """The witness keys whose cosignatures count: those stated since the last recovery, newest first. A thief of an
        older one can date its cosignatures back.
        """
        return tuple(dict.fromkeys(item.statement.witness_key for item in reversed(self._since_recovery())))

    def pq_keys(self) -> tuple[PqKey, ...]:
        """Every ML-DSA key that this node ever stated, newest first."""
        keys = dict.fromkeys(item.statement.pq_key for item in (*self.statements[::-1], *self.superseded[::-1]))
        return tuple(PqKey(key) for key in keys)

    def certificates(self) -> tuple[bytes, ...]:
        """The link certificates to pin now."""
        return self.current.link_certificates


def node_digits(node_id: NodeId) -> str:
    """The 30 digits that two administrators compare by telephone: 6 groups of 5."""
    digest = hash_labelled(Label.DIGITS, node_id)
    groups = (int.from_bytes(digest[at : at + 5], "big") % 100_000 for at in range(0, 30, 5))
    return " ".join(f"{group:05d}" for group in groups)


def parse_digits(text: str) -> str:
    """Digits as typed (any spaces or dashes) in the form of node_digits. ValueError unless there are 30."""
    digits = "".join(character for character in text if not (character.isspace() or character in "-."))
    if len(digits) != 30 or not (digits.isascii() and digits.isdigit()):
        raise ValueError("a fingerprint has 30 digits")
    return " ".join(digits[at : at + 5] for at in range(0, 30, 5))
