"""What two auditors hold of the same logs: a fork shown to one of them alone is found here. Spec: spec/audit.md, 5."""

from __future__ import annotations

from pathlib import Path

from node.auditor.files import take_data
from node.auditor.findings import Findings
from node.auditor.forks import write_fork
from node.auditor.places import AuditFolder, LogCopy, chain_or_reason
from node.auditor.tree import CopiedTiles, root_at
from node.errors import ConfigError, StoreError
from protocol.checkpoint import Checkpoint, peek_checkpoint
from protocol.errors import RemoteProtocolError
from protocol.heads_file import HeldHeads, parse_heads_file, write_heads_file
from protocol.note import keep_signature
from protocol.text_file import NodeStatements

__all__ = ["compare_with", "held_heads"]


def held_heads(folder: AuditFolder) -> bytes:
    """All heads of all institutions of a folder, as a file for others. ConfigError if there is no institution."""
    held = []
    for copy in folder.copies():
        chain, _ = chain_or_reason(copy)
        if chain is None:
            continue
        notes = [note for epoch in copy.epochs() for _, note in copy.heads(epoch)]
        alone = [keep_signature(note, peek_checkpoint(note).origin) for note in notes]
        held.append(HeldHeads(NodeStatements(chain.node_id, tuple(chain.raw_list())), tuple(alone)))
    return write_heads_file(held)


def compare_with(folder: AuditFolder, other: Path) -> Findings:
    """Compare all heads with those of another auditor: their folder, or their file of heads.

    ConfigError for what is neither. A disagreement is a finding, and a fork file where the tiles show it.
    """
    findings = Findings("")
    if other.is_dir():
        raw = held_heads(AuditFolder(other))
    else:
        try:
            raw = other.read_bytes()
        except OSError as error:
            raise ConfigError(f"{other} cannot be read: {error.strerror}") from error
    try:
        theirs = parse_heads_file(raw)
        taken = take_data(other.name, raw)
    except RemoteProtocolError as error:
        detail = error.detail or error.reason.value
        raise ConfigError(f"{other} is no file of heads: {detail}", hint="coffre audit heads writes one") from error
    notes = {_key(peek_checkpoint(note)): note for held in theirs for note in held.heads}
    for copy in folder.copies():
        agree = 0
        for _, node, head in taken.heads:
            if node == copy.node:
                agree += _compare(folder, copy, head, notes[_key(head)], other.name, findings)
        if agree:
            findings.holds("others", count=agree)
    return findings


def _key(head: Checkpoint) -> tuple[str, int, bytes]:
    return head.origin, head.size, head.root


def _compare(folder: AuditFolder, copy: LogCopy, head: Checkpoint, note: bytes, who: str, findings: Findings) -> int:
    epoch = int(head.origin.rpartition("/")[2])
    own = copy.read(copy.checkpoint(epoch))
    if own is None:
        return 0
    size = peek_checkpoint(own).size
    place = f"{copy.node.text[:16]}, epoch {epoch}"
    if head.size > size:
        findings.add("beyond_copy", place, seen=head.size, size=size)
        return 0
    try:
        root = root_at(CopiedTiles(copy, epoch, size).tile, head.size)
    except StoreError as error:
        findings.add("file_bad", place, detail=error.message)
        return 0
    if root == head.root:
        return 1
    findings.add("head_disagrees", place, who=who, size=head.size)
    chain, _ = chain_or_reason(copy)
    if chain is not None:
        write_fork(folder, copy, chain, note, own)
    return 0
