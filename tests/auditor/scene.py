"""An auditor's desk for tests: a log to spoil, a folder to audit it in, and the codes of what was found."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import trio

from node.auditor.fetching import MAX_LEAVES, Fetched, fetch_log
from node.auditor.findings import Finding, Severity
from node.auditor.places import AuditFolder, LogCopy
from node.auditor.sources import read_origin
from node.auditor.verifying import Audit, verify_folder
from protocol.evidence_file import EvidenceFile, write_evidence_file
from protocol.ids import EnvelopeId, LeafTag, LetterId, MailboxId, NodeId, PayloadId, SlipId
from protocol.logleaf import EventKind
from spec.vectors.sample_log import SampleLog
from spec.vectors.sample_node import FROM_MS, SampleNode, bytes_of

__all__ = ["NOW_MS", "Letter", "codes", "fetch", "fetched_copy", "grave", "made_log", "verify"]

NOW_MS = FROM_MS + 30 * 86_400_000


def made_log(name: str = "fictive-hospital", count: int = 0) -> SampleLog:
    """A log with so many starts and stops."""
    log = SampleLog(SampleNode(name))
    log.grow(count)
    return log


def fetch(folder: Path, export: Path, *, max_leaves: int = MAX_LEAVES) -> Fetched:
    """Fetch from an exported folder."""

    async def run() -> Fetched:
        return await fetch_log(AuditFolder(folder), read_origin(export, []), now_ms=NOW_MS, max_leaves=max_leaves)

    return trio.run(run)


def verify(folder: Path, *files: Path, now_ms: int = NOW_MS) -> Audit:
    """Verify everything."""
    return verify_folder(AuditFolder(folder), now_ms=now_ms, files=files)


def fetched_copy(folder: Path, log: SampleLog, export: Path, *, entries: bool = True) -> LogCopy:
    """A copy of the log, fetched without a finding."""
    log.export(export, entries=entries)
    assert grave(fetch(folder, export).findings) == ([] if entries else ["leaves_unread"])
    return AuditFolder(folder).copy_of(log.node.node_id)


def codes(findings: Iterable[Finding]) -> list[str]:
    """The codes, sorted, each once."""
    return sorted({item.code for item in findings})


def grave(findings: Iterable[Finding]) -> list[str]:
    """The codes of defects and of what is open."""
    return codes(item for item in findings if item.severity is not Severity.NOTE)


class Letter:
    """A letter from one sample log to another: its ids, and the events that each side logs."""

    def __init__(self, sender: SampleLog, recipient: SampleLog, word: str = "letter") -> None:
        """word: another one makes another letter."""
        self.sender = sender
        self.recipient = recipient
        self.id = LetterId(bytes_of(word, 16))
        self.mailbox = MailboxId(bytes_of(f"{word}/mailbox", 16))
        self._word = word

    def _log(self, log: SampleLog, peer: NodeId, kind: EventKind, side: str, **more: Any) -> int:
        given: dict[str, Any] = {
            "peer": peer,
            "envelope": EnvelopeId(bytes_of(f"{self._word}/envelope")),
            "slip": SlipId(bytes_of(f"{self._word}/slip")),
            "letter": self.id,
            "payload": PayloadId(bytes_of(f"{self._word}/payload")),
        }
        log.append(kind, tag=LeafTag(bytes_of(f"{self._word}/tag/{side}", 16)), **given, **more)
        return len(log.epochs[log.epoch]) - 1

    def at_sender(self, kind: EventKind, **more: Any) -> int:
        """Log an event of the sender's side; its index."""
        return self._log(self.sender, self.recipient.node.node_id, kind, "sender", **more)

    def at_recipient(self, kind: EventKind, **more: Any) -> int:
        """Log an event of the recipient's side; its index."""
        given: dict[str, Any] = {"mailbox": self.mailbox} | more
        return self._log(self.recipient, self.sender.node.node_id, kind, "recipient", **given)

    def evidence(self, path: Path, *indexes: int, letter: LetterId | None = None) -> Path:
        """Write an evidence file of events of the recipient's log."""
        file = EvidenceFile(
            letter=letter or self.id,
            nodes=(self.recipient.node.statements,),
            events=tuple(self.recipient.evidence(index) for index in indexes),
        )
        path.write_bytes(write_evidence_file(file))
        return path
