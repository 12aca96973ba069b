"""What a maintainer says of a node, signed: endorsed, revoked or suspended. Spec: spec/directory.md, 7."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Self

from protocol.codec import FieldReader, Value, check_binary, decode, decode_map, encode
from protocol.crypto import SigningSecret, hash_labelled
from protocol.entry.fields import (
    MAX_ENTRY_BYTES,
    check_domain,
    check_endpoint,
    check_line,
    check_pattern,
    malformed,
    optional_items,
    optional_line,
    required,
    without_empty,
)
from protocol.entry.institution import KIND, KIND_BYTES
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.ids import NodeId
from protocol.labels import Label
from protocol.statement import MAX_STATEMENT_BYTES, StatementChain

__all__ = [
    "MAX_ENDORSEMENT_MS",
    "MAX_SUSPENSION_MS",
    "Act",
    "Endorsed",
    "RevocationReason",
    "SignedStanding",
    "Standing",
    "sign_standing",
    "standing_subject",
]

_DAY_MS: Final = 86_400_000
MAX_ENDORSEMENT_MS: Final = 396 * _DAY_MS
MAX_SUSPENSION_MS: Final = 14 * _DAY_MS
_MAX_TIME_MS: Final = 2**62
_SUBJECT_BYTES: Final = 16
_MAX_STATEMENTS: Final = 8


class Act(StrEnum):
    """What a maintainer does."""

    ENDORSE = "endorse"
    REVOKE = "revoke"
    SUSPEND = "suspend"


class RevocationReason(StrEnum):
    """Why an endorsement is taken back. `compromised` also stops what administrators accepted themselves."""

    LEFT = "left"
    ERROR = "error"
    COMPROMISED = "compromised"


def standing_subject(node: NodeId) -> bytes:
    """The subject of everything that a maintainer says of a node: 16 bytes."""
    return hash_labelled(Label.STANDING, node)[:_SUBJECT_BYTES]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endorsed:
    """What is vouched for: the node's domain, its institution's name and kind, where it is dialled.

    chain: the first statements of the node, at least one.
    """

    domain: str
    name: str
    kind: str
    chain: StatementChain
    region: str = ""
    endpoints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One statement of a maintainer about a node. Times in milliseconds UTC.

    until_ms: of an endorsement or a suspension. endorsed: of an endorsement. reason: of a revocation.
    """

    act: Act
    by: NodeId
    node: NodeId
    time_ms: int
    until_ms: int | None = None
    endorsed: Endorsed | None = None
    reason: RevocationReason | None = None
    extra: dict[str, Value] = field(default_factory=dict)

    def encode(self) -> bytes:
        """The body that is signed."""
        fields: dict[str, Value] = {
            "v": 1,
            "act": self.act.value,
            "by": bytes(self.by),
            "node": bytes(self.node),
            "time": self.time_ms,
            "until": self.until_ms,
            "reason": None if self.reason is None else self.reason.value,
        }
        if self.endorsed is not None:
            fields |= {
                "domain": self.endorsed.domain,
                "name": self.endorsed.name,
                "kind": self.endorsed.kind,
                "region": self.endorsed.region,
                "at": list(self.endorsed.endpoints),
                "chain": list[Value](self.endorsed.chain.raw_list()),
            }
        return encode({**self.extra, **without_empty(fields)})

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read a body from outside; its signature is checked by `SignedStanding.verify`.

        RemoteProtocolError: too_large, malformed, not_canonical, unknown_version, mismatch (the chain is another
        node's), and what StatementChain raises.
        """
        fields = decode_map(body, max_bytes=MAX_ENTRY_BYTES)
        fields.version()
        act = Act(fields.choice("act", list(Act)))
        node = NodeId(fields.fixed("node", NodeId.LENGTH))
        time_ms = fields.integer("time", high=_MAX_TIME_MS)
        until_ms = None
        if act is not Act.REVOKE:
            until_ms = fields.integer("until", high=_MAX_TIME_MS)
            longest = MAX_ENDORSEMENT_MS if act is Act.ENDORSE else MAX_SUSPENSION_MS
            if not time_ms < until_ms <= time_ms + longest:
                raise malformed("until is not after time, or too long after it")
        reasons = list(RevocationReason)
        return cls(
            act=act,
            by=NodeId(fields.fixed("by", NodeId.LENGTH)),
            node=node,
            time_ms=time_ms,
            until_ms=until_ms,
            endorsed=_read_endorsed(fields, node) if act is Act.ENDORSE else None,
            reason=RevocationReason(fields.choice("reason", reasons)) if act is Act.REVOKE else None,
            extra=fields.rest(),
        )


def _read_endorsed(fields: FieldReader, node: NodeId) -> Endorsed:
    raws = [
        check_binary(item, "statement", 1, MAX_STATEMENT_BYTES)
        for item in fields.items("chain", low=1, high=_MAX_STATEMENTS)
    ]
    chain = StatementChain.from_raw_list(raws)
    if chain.node_id != node:
        raise RemoteProtocolError(Reason.MISMATCH, "the statements of another node")
    return Endorsed(
        domain=required(fields, "domain", check_domain),
        name=required(fields, "name", check_line),
        kind=required(fields, "kind", lambda value, name: check_pattern(value, name, KIND, KIND_BYTES)),
        region=optional_line(fields, "region"),
        endpoints=optional_items(fields, "at", 8, check_endpoint),
        chain=chain,
    )


@dataclass(frozen=True, slots=True)
class SignedStanding:
    """[body, signature] as it stands in a feed. Nothing of it is true before `verify`."""

    raw: bytes
    body: bytes
    signature: bytes
    standing: Standing

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Take an entry apart. RemoteProtocolError as `Standing.decode`."""
        parts = decode(raw, max_bytes=MAX_ENTRY_BYTES)
        if not isinstance(parts, list) or len(parts) != 2:
            raise malformed("expected [standing, signature]")
        body = check_binary(parts[0], "standing", 1, MAX_ENTRY_BYTES)
        signature = check_binary(parts[1], "signature", 64, 64)
        return cls(raw, body, signature, Standing.decode(body))

    def verify(self, maintainer: StatementChain) -> Standing:
        """The standing, if this maintainer signed it with the key in force then.

        RemoteProtocolError: mismatch (another maintainer's), unknown_key (no statement in force then), bad_signature.
        """
        standing = self.standing
        if standing.by != maintainer.node_id:
            raise RemoteProtocolError(Reason.MISMATCH, "signed for another maintainer")
        numbers = [
            number for number in range(len(maintainer.statements)) if maintainer.in_force(number, standing.time_ms)
        ]
        if not numbers:
            raise RemoteProtocolError(Reason.UNKNOWN_KEY, "no statement of the maintainer was in force then")
        statement = maintainer.at(numbers[-1])
        key = statement.witness_key if standing.act is Act.SUSPEND else statement.identity_key
        key.verify(Label.STANDING, self.body, self.signature)
        return standing


def sign_standing(standing: Standing, secret: SigningSecret) -> bytes:
    """The entry: body and signature by the identity key (of a suspension: the witness key).

    LocalProtocolError for a standing that nobody could read.
    """
    body = standing.encode()
    raw = encode([body, secret.sign(Label.STANDING, body)])
    try:
        same = SignedStanding.decode(raw).standing == standing
    except RemoteProtocolError as error:
        raise LocalProtocolError(f"not a valid standing: {error.detail or error.reason}") from error
    if not same:
        raise LocalProtocolError("an extra field has the name of a known one")
    return raw
