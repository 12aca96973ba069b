"""Heads of a log: signed by which key, cosigned by whom. Spec: spec/audit.md, 3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from node.auditor.findings import Findings
from node.reports.rendering import language_of
from protocol.checkpoint import Checkpoint, CheckpointVerifier, log_origin, open_checkpoint
from protocol.cosignature import cosignature_key_id, cosigned_at_s, witness_name
from protocol.crypto import VerifyKey
from protocol.errors import Reason, RemoteProtocolError
from protocol.ids import NodeId
from protocol.note import parse_note
from protocol.pq_line import pq_signed_at_s
from protocol.statement import StatementChain

__all__ = ["Cosigners", "check_daily", "check_key", "count_cosigners", "signed_head"]

_TOLERANCE_S: Final = 300


def signed_head(note: bytes, chain: StatementChain, epoch: int) -> Checkpoint:
    """A head of this epoch of the chain's log, under any key that the node ever stated.

    RemoteProtocolError: as open_checkpoint; mismatch for a head of another log.
    """
    head = CheckpointVerifier(chain.node_id, chain.log_keys()).open(note)
    if head.origin != log_origin(chain.node_id, epoch):
        raise RemoteProtocolError(Reason.MISMATCH, f"a head of {head.origin}")
    return head


def check_key(note: bytes, chain: StatementChain, last_leaf_ms: int, findings: Findings, place: str) -> None:
    """Say if a head that verifies is by a key that was replaced (over later leaves) or cancelled.

    last_leaf_ms: of the last leaf under this head, 0 if leaves were not read.
    """

    def is_by(keys: tuple[VerifyKey, ...]) -> bool:
        try:
            open_checkpoint(note, origin=origin, keys=keys)
        except RemoteProtocolError:
            return False
        return True

    origin = parse_note(note).text.split("\n", 1)[0]
    if not is_by(chain.trusted_log_keys()):
        findings.add("lost_key", place)
        return
    for older, newer in pairwise(chain.statements):
        old, new = older.statement, newer.statement
        if old.log_key == new.log_key or not is_by((old.log_key,)):
            continue
        if last_leaf_ms > new.valid_from_ms + _TOLERANCE_S * 1000:
            findings.add("retired_key", place, since=language_of("en").moment(new.valid_from_ms))
        return


def check_daily(note: bytes, chain: StatementChain, findings: Findings, place: str) -> bool:
    """Whether a day's head bears an ML-DSA line that holds, by a key that the node ever stated; says so if not."""
    try:
        pq_signed_at_s(note, chain.pq_keys())
    except RemoteProtocolError as error:
        findings.add("daily_wrong", place, detail=error.detail or error.reason.value)
        return False
    return True


@dataclass(frozen=True, slots=True)
class Cosigners:
    """Who cosigned a head: distinct nodes with distinct keys; lines by keys that nobody here knows."""

    nodes: tuple[NodeId, ...]
    unknown: int


def count_cosigners(
    note: bytes,
    own: StatementChain,
    chains: Mapping[NodeId, StatementChain],
    names: Mapping[NodeId, str],
    now_ms: int,
    findings: Findings,
    place: str,
) -> Cosigners:
    """Count the other nodes whose cosignatures hold. chains: of every node known. One key counts once."""
    lines = parse_note(note).signatures
    seen: dict[bytes, NodeId] = {}
    counted: list[NodeId] = []
    accounted = {(item.name, item.key_id) for item in lines if item.name == log_origin_of(note)}
    for node, chain in sorted(chains.items()):
        name = witness_name(node)
        for key in dict.fromkeys(item.statement.witness_key for item in reversed(chain.statements)):
            mine = (name, cosignature_key_id(name, key))
            if mine not in {(item.name, item.key_id) for item in lines}:
                continue
            accounted.add(mine)
            who = names.get(node, node.text[:16])
            try:
                time_s = cosigned_at_s(note, name=name, key=key)
            except RemoteProtocolError as error:
                findings.add("cosignature_wrong", place, who=who, detail=error.detail or error.reason.value)
                continue
            if time_s * 1000 > now_ms + _TOLERANCE_S * 1000:
                findings.add("cosignature_wrong", place, who=who, detail="it is dated in the future")
                continue
            other = seen.setdefault(bytes(key), node)
            if other != node:
                findings.add("cosigner_twice", place, who=names.get(other, other.text[:16]), other=who)
            elif node != own.node_id and node not in counted:
                counted.append(node)
    unknown = len({(item.name, item.key_id) for item in lines} - accounted)
    return Cosigners(tuple(counted), unknown)


def log_origin_of(note: bytes) -> str:
    """The origin line of a note."""
    return parse_note(note).text.split("\n", 1)[0]
