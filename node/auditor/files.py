"""Files that an audit takes in: evidence, disclosures, heads of others, proofs of forks. Spec: spec/audit.md, 1."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from node.auditor.findings import Finding
from protocol.checkpoint import Checkpoint, CheckpointVerifier
from protocol.disclosure import MAX_DISCLOSURE_BYTES, is_disclosure, parse_disclosure
from protocol.disclosure_report import DisclosureReport, verify_disclosure
from protocol.errors import RemoteProtocolError
from protocol.evidence_file import EvidenceFile, parse_evidence_file
from protocol.evidence_findings import Report
from protocol.evidence_report import verify_evidence_file
from protocol.fork_file import is_fork_file, parse_fork_file
from protocol.fork_proof import VerifiedFork
from protocol.heads_file import HeldHeads, is_heads_file, parse_heads_file
from protocol.ids import NodeId
from protocol.statement import StatementChain

__all__ = ["EvidenceTaken", "TakenFiles", "read_limited", "take_data", "take_files"]

MAX_FILE_BYTES: Final = MAX_DISCLOSURE_BYTES


@dataclass(frozen=True, slots=True)
class EvidenceTaken:
    """An evidence file that parsed, and what it proves by itself."""

    name: str
    file: EvidenceFile
    report: Report


@dataclass(slots=True)
class TakenFiles:
    """All files, read. chains: of every node that they bring statements of. heads: (file, node, head that holds)."""

    evidence: list[EvidenceTaken] = field(default_factory=list)
    disclosures: list[tuple[str, DisclosureReport, frozenset[tuple[int, int]]]] = field(default_factory=list)
    heads: list[tuple[str, NodeId, Checkpoint]] = field(default_factory=list)
    forks: list[tuple[str, VerifiedFork]] = field(default_factory=list)
    chains: dict[NodeId, StatementChain] = field(default_factory=dict)
    bad: list[Finding] = field(default_factory=list)

    def add_chain(self, chain: StatementChain) -> None:
        """Remember a node's statements, the longest."""
        known = self.chains.get(chain.node_id)
        if known is None or len(chain.statements) > len(known.statements):
            self.chains[chain.node_id] = chain


def read_limited(path: Path, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """A file of at most so many bytes, and one more of a longer one. OSError."""
    with path.open("rb") as stream:
        return stream.read(max_bytes + 1)


def take_files(paths: Iterable[Path]) -> TakenFiles:
    """Read and check all files, each by itself; a bad one becomes a finding that names it."""
    taken = TakenFiles()
    for path in paths:
        try:
            _take(taken, path.name, read_limited(path))
        except OSError as error:
            taken.bad.append(Finding("file_bad", "", path.name, {"detail": error.strerror or "cannot be read"}))
        except RemoteProtocolError as error:
            taken.bad.append(Finding("file_bad", "", path.name, {"detail": error.detail or error.reason.value}))
    return taken


def take_data(name: str, data: bytes) -> TakenFiles:
    """One file that was read already. RemoteProtocolError if nothing in it holds."""
    taken = TakenFiles()
    _take(taken, name, data)
    return taken


def _take(taken: TakenFiles, name: str, data: bytes) -> None:
    if is_disclosure(data):
        _take_disclosure(taken, name, data)
    elif is_heads_file(data):
        for held in parse_heads_file(data):
            _take_heads(taken, name, held)
    elif is_fork_file(data):
        fork = parse_fork_file(data)
        found = fork.verify().found
        taken.add_chain(StatementChain.from_raw_list(fork.node.statements))
        if found.is_fork:
            taken.forks.append((name, found))
        else:
            _take_heads(taken, name, HeldHeads(fork.node, (fork.proof.first, fork.proof.second)))
    else:
        file = parse_evidence_file(data)
        report = verify_evidence_file(file)
        taken.evidence.append(EvidenceTaken(name, file, report))
        for node in file.nodes:
            try:
                taken.add_chain(StatementChain.from_raw_list(node.statements))
            except RemoteProtocolError:
                continue  # the report says so
        for finding in report.events:
            if finding.verified is not None:
                taken.heads.append((name, finding.verified.details.node, finding.verified.checkpoint))


def _take_disclosure(taken: TakenFiles, name: str, data: bytes) -> None:
    disclosure = parse_disclosure(data)
    report = verify_disclosure(disclosure)
    taken.disclosures.append((name, report, frozenset(disclosure.erased)))
    taken.add_chain(StatementChain.from_raw_list(disclosure.node.statements))
    taken.heads += [(name, report.node, head) for head in report.heads]


def _take_heads(taken: TakenFiles, name: str, held: HeldHeads) -> None:
    chain = StatementChain.from_raw_list(held.node.statements)
    verifier = CheckpointVerifier(chain.node_id, chain.log_keys())
    for note in held.heads:
        taken.heads.append((name, chain.node_id, verifier.open(note)))
    taken.add_chain(chain)
