"""New keys of a node: made, renewed, recovered. What goes in and comes out is a keyring. Spec: spec/identity.md, 9."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from node.errors import StateError
from node.vault.keyring import FormerLink, Keyring, NodeSealSecret
from protocol.certificate import build_certificate
from protocol.crypto import SealSecret, Secret, SigningSecret, VerifyKey
from protocol.errors import RemoteProtocolError
from protocol.statement import Statement, StatementChain, encode_statement, sign_statement

__all__ = [
    "CLOCK_SLACK_MS",
    "KEPT_MS",
    "RENEWED_BEFORE_MS",
    "STATEMENT_LIFETIME_MS",
    "FreshKeys",
    "first_chain",
    "made_at_ms",
    "next_chain",
    "recover",
    "recovered_chain",
    "renew",
    "renewal_due_ms",
    "without_ended",
]

DAY_MS: Final = 86_400_000
# 13 months: renewed 60 days before, with slack for a node that was off for a holiday.
STATEMENT_LIFETIME_MS: Final = 396 * DAY_MS
RENEWED_BEFORE_MS: Final = 60 * DAY_MS
# A letter lives at most 30 days, and its sender may have been away from the news as long again.
KEPT_MS: Final = 60 * DAY_MS
# So old may a letter be that is under way when its sender's keys are recovered: it is signed anew, with its own time.
_LETTERS_MS: Final = 31 * DAY_MS
# A peer whose clock is a little behind must not find the first letters signed too early.
CLOCK_SLACK_MS: Final = DAY_MS

RandomBytes = Callable[[int], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshKeys:
    """The secrets that one statement names."""

    identity: SigningSecret
    link: SigningSecret
    log: SigningSecret
    witness: SigningSecret
    pq_seed: Secret
    seal: SealSecret

    @classmethod
    def draw(cls, random_bytes: RandomBytes) -> Self:
        """New ones."""
        identity, link, log, witness = (SigningSecret(random_bytes(32)) for _ in range(4))
        seal, pq_seed = SealSecret(random_bytes(96)), Secret(random_bytes(32))
        return cls(identity=identity, link=link, log=log, witness=witness, pq_seed=pq_seed, seal=seal)

    def statement(
        self,
        *,
        recovery_key: VerifyKey,
        from_ms: int,
        until_ms: int,
        after: StatementChain | None = None,
        former_link: SigningSecret | None = None,
        bad_from_ms: int | None = None,
    ) -> Statement:
        """The statement that names them; after: the chain whose newest statement it follows, None for a first one."""
        certificates = [build_certificate(self.link)]
        if former_link is not None:
            certificates.append(build_certificate(former_link))
        return Statement(
            number=0 if after is None else after.current.number + 1,
            previous=None if after is None else after.statements[-1].hash,
            identity_key=self.identity.verify_key,
            recovery_key=recovery_key,
            link_certificates=tuple(certificates),
            log_key=self.log.verify_key,
            witness_key=self.witness.verify_key,
            pq_key=MLDSA44PrivateKey.from_seed_bytes(self.pq_seed.reveal()).public_key().public_bytes_raw(),
            seal_keys=(self.seal.seal_key,),
            valid_from_ms=from_ms,
            valid_until_ms=until_ms,
            bad_from_ms=bad_from_ms,
        )


def first_chain(keys: FreshKeys, recovery_key: VerifyKey, *, now_ms: int, slack_ms: int = CLOCK_SLACK_MS) -> bytes:
    """The first statement of a new identity, signed."""
    statement = keys.statement(
        recovery_key=recovery_key, from_ms=now_ms - slack_ms, until_ms=now_ms + STATEMENT_LIFETIME_MS
    )
    return sign_statement(encode_statement(statement), own=keys.identity)


def next_chain(
    chain: StatementChain,
    identity: SigningSecret,
    keys: FreshKeys,
    *,
    now_ms: int,
    former_link: SigningSecret | None = None,
    slack_ms: int = CLOCK_SLACK_MS,
) -> StatementChain:
    """The chain with a renewal: these keys, signed by the identity key before them.

    StateError if the chain does not take it: this is not its identity key, or it is full.
    """
    statement = keys.statement(
        recovery_key=chain.current.recovery_key,
        from_ms=now_ms - slack_ms,
        until_ms=now_ms + STATEMENT_LIFETIME_MS,
        after=chain,
        former_link=former_link,
    )
    raw = sign_statement(encode_statement(statement), own=keys.identity, previous=identity)
    return _extended(chain, raw, "the identity key here is not the one that the newest statement names")


def recovered_chain(
    chain: StatementChain,
    recovery: SigningSecret,
    keys: FreshKeys,
    *,
    bad_from_ms: int,
    recovery_key: VerifyKey,
    now_ms: int,
    slack_ms: int = CLOCK_SLACK_MS,
) -> StatementChain:
    """The chain with a recovery: it follows the last statement that was made before `bad_from_ms`, so it cancels what
    a thief, or the owner after the theft, signed above that. recovery_key: the one from now on, the same or a new one.

    StateError if it is another node's recovery key.
    """
    kept = sum(made_at_ms(signed.statement) <= bad_from_ms for signed in chain.statements)
    # What another recovery confirmed stays: two recoveries of one statement would be a fork that nobody can settle.
    confirmed = max((at for at, signed in enumerate(chain.statements) if signed.by_recovery), default=0)
    base = replace(chain, statements=chain.statements[: max(kept, confirmed + 1)])
    statement = keys.statement(
        recovery_key=recovery_key,
        from_ms=now_ms - slack_ms,
        until_ms=now_ms + STATEMENT_LIFETIME_MS,
        after=base,
        bad_from_ms=bad_from_ms,
    )
    raw = sign_statement(encode_statement(statement), own=keys.identity, recovery=recovery)
    return _extended(chain, raw, "this recovery key is another one than the statements name")


def _extended(chain: StatementChain, raw: bytes, why: str) -> StatementChain:
    try:
        return chain.extend(raw)
    except RemoteProtocolError as error:
        raise StateError(f"no new statement can be made: {why}", hint=f"code: {error.reason.value}") from error


def made_at_ms(statement: Statement) -> int:
    """When a statement was made, as well as it says: its `from` is a day earlier, but for maintainers'."""
    return statement.valid_until_ms - STATEMENT_LIFETIME_MS


def renewal_due_ms(chain: StatementChain) -> int:
    """From when on the newest statement should be renewed."""
    return chain.current.valid_until_ms - RENEWED_BEFORE_MS


def renew(keyring: Keyring, *, now_ms: int, random_bytes: RandomBytes) -> Keyring:
    """New keys of every sort, stated by the identity key before them.

    The former link certificate stands in the statement, too, and is shown for 60 days. StateError within these.
    """
    former = keyring.former_link
    if former is not None and former.kept_until_ms > now_ms:
        until = datetime.fromtimestamp(former.kept_until_ms / 1000, UTC).date()
        raise StateError(
            f"the keys were renewed lately: peers that were away have until {until} to learn of it",
            hint="if keys were stolen: coffre keys recover",
        )
    keys = FreshKeys.draw(random_bytes)
    chain = next_chain(keyring.chain, keyring.identity, keys, now_ms=now_ms, former_link=keyring.link)
    return _changed(keyring, keys, chain, now_ms=now_ms, shown_first=True)


def recover(
    keyring: Keyring,
    recovery: SigningSecret,
    *,
    bad_from_ms: int,
    new_recovery_key: VerifyKey | None,
    now_ms: int,
    random_bytes: RandomBytes,
) -> Keyring:
    """New keys of every sort, stated by the recovery key after the ones before were stolen or lost.

    bad_from_ms: since when those are not to be believed. StateError for another node's recovery key.
    """
    if not bad_from_ms <= now_ms:
        raise StateError("keys cannot have been stolen in the future", hint="give an earlier --bad-from")
    keys = FreshKeys.draw(random_bytes)
    chain = recovered_chain(
        keyring.chain,
        recovery,
        keys,
        bad_from_ms=bad_from_ms,
        recovery_key=new_recovery_key or recovery.verify_key,
        now_ms=now_ms,
        slack_ms=min(max(now_ms - bad_from_ms, CLOCK_SLACK_MS), _LETTERS_MS),
    )
    return _changed(keyring, keys, chain, now_ms=now_ms, shown_first=False)


def _changed(keyring: Keyring, keys: FreshKeys, chain: StatementChain, *, now_ms: int, shown_first: bool) -> Keyring:
    ended = tuple(
        item if item.kept_until_ms else replace(item, kept_until_ms=now_ms + KEPT_MS) for item in keyring.seal
    )
    changed = replace(
        keyring,
        chain=chain,
        identity=keys.identity,
        link=keys.link,
        log=keys.log,
        witness=keys.witness,
        pq_seed=keys.pq_seed,
        seal=(NodeSealSecret(keys.seal), *ended),
        former_link=FormerLink(secret=keyring.link, kept_until_ms=now_ms + KEPT_MS, shown_first=shown_first),
    )
    return without_ended(changed, now_ms=now_ms)


def without_ended(keyring: Keyring, *, now_ms: int) -> Keyring:
    """The keyring without the secrets whose time is over."""
    former = keyring.former_link
    return replace(
        keyring,
        seal=tuple(item for item in keyring.seal if not item.kept_until_ms or item.kept_until_ms > now_ms),
        former_link=None if former is None or former.kept_until_ms <= now_ms else former,
    )
