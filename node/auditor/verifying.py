"""A whole audit: every institution of a folder, every file, and what they say of each other. Spec: spec/audit.md, 3."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from node.auditor.agreement import Copied, Said, check_disclosure, check_evidence, check_letters, epoch_links
from node.auditor.files import TakenFiles, take_files
from node.auditor.findings import Checked, Finding, Findings, Severity, gravest
from node.auditor.log_audit import InstitutionAudit, LogAudit
from node.auditor.places import AuditFolder
from protocol.ids import LetterId, NodeId

__all__ = ["Audit", "verify_folder"]


@dataclass(slots=True)
class Audit:
    """What an audit came to. general: findings about files, and between institutions."""

    made_at_ms: int
    institutions: list[InstitutionAudit]
    general: list[Finding]
    checked: list[Checked]
    said: list[Said]

    @property
    def findings(self) -> list[Finding]:
        """All of them."""
        return [*(finding for item in self.institutions for finding in item.findings), *self.general]

    @property
    def status(self) -> int:
        """For scripts: 1 with a defect, else 3 if something is open, else 0."""
        return {Severity.DEFECT: 1, Severity.OPEN: 3, None: 0}[gravest(self.findings)]


def verify_folder(
    folder: AuditFolder,
    *,
    now_ms: int,
    files: Iterable[Path] = (),
    progress: Callable[[str, int, int], None] = lambda _name, _done, _total: None,
) -> Audit:
    """Check everything in the folder and these files; blocks. Nothing in the copies is trusted.

    progress: name of the institution, leaves done, leaves it has. ConfigError if the folder holds no institution.
    """
    copies = folder.copies()
    taken = take_files([*folder.files(), *folder.proof_files(), *files])
    general = Findings("")
    general.extend(taken.bad)
    chains = {**taken.chains}
    works = []
    for copy in copies:
        work = LogAudit(folder, copy, taken, now_ms)
        works.append(work)
        if work.chain is not None:
            chains[copy.node] = work.chain
    names = {work.copy.node: work.result.name for work in works}
    copied: dict[NodeId, Copied] = {}
    for work in works:
        copied[work.copy.node] = work.run(chains, names, progress)
    said = _agree(taken, copied, general)
    for work in works:
        work.result.findings = work.findings.found
        work.result.checked = work.findings.checked
    return Audit(now_ms, [work.result for work in works], general.found, general.checked, said)


def _agree(taken: TakenFiles, copied: Mapping[NodeId, Copied], general: Findings) -> list[Said]:
    """Evidence and disclosures against the copies, and both sides of each letter against each other."""
    said: list[Said] = []
    covered: dict[NodeId, set[LetterId]] = defaultdict(set)
    for name, report, erased in taken.disclosures:
        own = copied.get(report.node)
        if own is None:
            general.add("evidence_elsewhere", name, count=len(report.events), who=report.node.text[:16])
            continue
        found = list(check_disclosure(name, report, erased, own, own.leaves))
        own.findings.holds("disclosures", count=len(found))
        said += found
        if report.scope.letter is not None:
            covered[report.node].add(report.scope.letter)
    count: dict[NodeId, int] = defaultdict(int)
    for evidence in taken.evidence:
        for item in check_evidence(evidence, copied, general):
            said.append(item)
            count[item.node] += 1
    for node, number in count.items():
        copied[node].findings.holds("evidence", count=number)
    for own in copied.values():
        opened = [event for _, report, _ in taken.disclosures if report.node == own.node for event in report.events]
        epoch_links(own, opened)
    compared = check_letters(said, copied, covered, general)
    if compared:
        general.holds("links", count=compared)
    return said
