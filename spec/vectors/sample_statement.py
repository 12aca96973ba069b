"""Chains of statements made of names alone, good and bad, for the vectors of identity.md and its tests.

The secrets are hashes of words (sample_node) and no secrets.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from protocol.certificate import build_certificate
from protocol.crypto import SealKey, SigningSecret, hash_labelled
from protocol.labels import Label
from protocol.statement import Statement, decode_signed_statement, encode_statement, sign_statement
from spec.vectors.sample_node import FROM_MS, UNTIL_MS, bytes_of, seal_secret_of, signing_secret_of

__all__ = ["RECOVERY", "certificate_of", "first", "following", "identity_of", "seal_key_of", "sign", "statement_hash"]

RECOVERY = signing_secret_of("recovery")


@cache
def certificate_of(word: str) -> bytes:
    """The link certificate of a word."""
    return build_certificate(signing_secret_of(f"{word}/link"))


@cache
def seal_key_of(word: str) -> SealKey:
    """The seal key of a word."""
    return seal_secret_of(word).seal_key


def identity_of(word: str) -> SigningSecret:
    """The identity secret of the statement that this word stands for."""
    return signing_secret_of(f"{word}/identity")


def first(word: str = "first", **changes: Any) -> Statement:
    """A first statement; each word has keys of its own, but one recovery key serves all."""
    statement = Statement(
        number=0,
        previous=None,
        identity_key=identity_of(word).verify_key,
        recovery_key=RECOVERY.verify_key,
        link_certificates=(certificate_of(word),),
        log_key=signing_secret_of(f"{word}/log").verify_key,
        witness_key=signing_secret_of(f"{word}/witness").verify_key,
        pq_key=bytes_of(f"{word}/pq", 1312),
        seal_keys=(seal_key_of(word),),
        valid_from_ms=FROM_MS,
        valid_until_ms=UNTIL_MS,
    )
    return replace(statement, **changes)


def following(before: bytes, word: str, **changes: Any) -> Statement:
    """The statement of this word that follows the signed statement `before`."""
    last = decode_signed_statement(before)
    return first(word, **{"number": last.statement.number + 1, "previous": last.hash, **changes})


def sign(
    statement: Statement, word: str, *, previous: str | None = None, recovery: SigningSecret | None = None
) -> bytes:
    """The signed statement, by the identity of `word`, and by that of `previous` or by `recovery`."""
    before = None if previous is None else identity_of(previous)
    return sign_statement(encode_statement(statement), own=identity_of(word), previous=before, recovery=recovery)


def statement_hash(raw: bytes) -> bytes:
    """H("statement", statement) of a signed statement, computed apart from the chain's own code."""
    return hash_labelled(Label.STATEMENT, decode_signed_statement(raw).statement_bytes)
