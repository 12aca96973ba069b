"""A whole audit: every institution of a folder, every file, and what they say of each other. Spec: spec/audit.md, 3."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from node.auditor.agreement import Copied, Said, check_disclosure, check_evidence, check_letters, epoch_links
from node.auditor.files import TakenFiles, take_files
from node.auditor.findings import Checked, Finding, Findings, Severity
from node.auditor.forks import write_fork
from node.auditor.heads import check_key, count_cosigners, signed_head
from node.auditor.leaves import LeafScan
from node.auditor.places import AuditFolder, LogCopy, chain_or_reason
from node.auditor.sources import Origin
from node.auditor.statistics import Statistics
from node.auditor.tree import ENTRY_BYTES, CopiedTiles, check_tree
from node.errors import CoffreError
from protocol.checkpoint import Checkpoint
from protocol.errors import RemoteProtocolError
from protocol.ids import LetterId, NodeId
from protocol.statement import StatementChain, node_digits

__all__ = ["Audit", "InstitutionAudit", "verify_folder"]


@dataclass(slots=True)
class InstitutionAudit:
    """What an audit came to for one institution. sizes: leaves by epoch. cosigners: names, of the newest head."""

    name: str
    node: NodeId
    is_confirmed: bool
    fetched_at_ms: int
    findings: list[Finding] = field(default_factory=list)
    checked: list[Checked] = field(default_factory=list)
    statistics: Statistics = field(default_factory=Statistics)
    sizes: dict[int, int] = field(default_factory=dict)
    cosigners: list[str] = field(default_factory=list)

    @property
    def digits(self) -> str:
        """The node's 30 digits."""
        return node_digits(self.node)

    @property
    def verdict(self) -> Severity | None:
        """The gravest finding; None if nothing is wrong or open."""
        return gravest(self.findings)


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


def gravest(findings: Iterable[Finding]) -> Severity | None:
    """DEFECT or OPEN if there is one; notes do not count."""
    found = {item.severity for item in findings}
    return next((item for item in (Severity.DEFECT, Severity.OPEN) if item in found), None)


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
        work = _LogWork(folder, copy, taken, now_ms)
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


class _LogWork:
    """One institution's log."""

    def __init__(self, folder: AuditFolder, copy: LogCopy, taken: TakenFiles, now_ms: int) -> None:
        self.folder = folder
        self.copy = copy
        self._taken = taken
        self._now_ms = now_ms
        self.chain, self._reason = chain_or_reason(copy)
        name, confirmed = _name_of(copy)
        self.findings = Findings(name)
        seen = copy.seen()
        self.result = InstitutionAudit(name, copy.node, confirmed, int(seen.get("fetched_at_ms", 0)))
        for item in seen.get("fetch", []):
            # What the last fetch was shown and did not take into the copy.
            if isinstance(item, dict) and item.get("code") in _OF_A_FETCH:
                self.findings.add(str(item["code"]), str(item.get("place", "")), **dict(item.get("values", {})))
        self.copied = Copied(copy.node, name, self.findings, {}, {}, {}, {})

    def run(
        self,
        chains: Mapping[NodeId, StatementChain],
        names: Mapping[NodeId, str],
        progress: Callable[[str, int, int], None],
    ) -> Copied:
        epochs = self.copy.epochs()
        if self.chain is None:
            self.findings.add("bad_statements" if self._reason else "not_fetched", detail=self._reason)
            return self.copied
        if not epochs:
            self.findings.add("not_fetched")
            return self.copied
        self.findings.holds("statements", count=len(self.chain.raw_list()))
        for file, fork in self._taken.forks:
            if fork.node_id == self.copy.node and fork.kind == "log":
                self.findings.add("fork", file, first=fork.sizes[0], second=fork.sizes[1])
        letters: dict[bytes, int] = {}
        for epoch in epochs:
            self._epoch(epoch, self.chain, letters, progress)
        self.result.statistics.unopened = sum(1 for deposited in letters.values() if deposited)
        newest = self.copy.read(self.copy.checkpoint(epochs[-1])) or b""
        try:
            cosigners = count_cosigners(
                newest, self.chain, chains, names, self._now_ms, self.findings, f"epoch {epochs[-1]}, head"
            )
        except RemoteProtocolError:
            return self.copied
        self.result.cosigners = [names.get(node, node.text[:16]) for node in cosigners.nodes]
        self.findings.holds("cosignatures", count=len(cosigners.nodes), unknown=cosigners.unknown)
        return self.copied

    def _epoch(
        self,
        epoch: int,
        chain: StatementChain,
        letters: dict[bytes, int],
        progress: Callable[[str, int, int], None],
    ) -> None:
        findings, place = self.findings, f"epoch {epoch}, head"
        note = self.copy.read(self.copy.checkpoint(epoch)) or b""
        try:
            head = signed_head(note, chain, epoch)
        except RemoteProtocolError as error:
            findings.add("bad_head", place, detail=error.detail or error.reason.value)
            return
        held = self._held_heads(epoch, chain)
        others = [item for item in self._taken.heads if item[2].origin == head.origin]
        with_leaves = (self.copy.log / str(epoch) / "tile" / "entries").is_dir()
        statistics = self.result.statistics
        scan = LeafScan(epoch, self._now_ms, findings, statistics, letters)
        watch = _Wanted(self._taken, self.copy.node)
        kept: dict[int, bytes] = {}

        def on_bundle(first: int, bundle: bytes) -> None:
            scan.read(first, bundle)
            if watch.is_needed:
                kept.update(watch.pick(first, bundle))

        check = check_tree(
            self.copy,
            epoch,
            head.size,
            findings,
            sizes=[*(item.size for _, item, _ in held), *(item.size for _, _, item in others)],
            with_leaves=with_leaves,
            on_bundle=on_bundle,
            progress=lambda done: progress(self.result.name, done, head.size),
        )
        scan.finish()
        if not with_leaves and head.size:
            findings.add("leaves_unread", f"epoch {epoch}")
        if check.root != head.root:
            findings.add("bad_root", place)
        else:
            self._compare(check.roots, head, held, others, note, chain)
            if check.whole:
                findings.holds("tiles", count=check.tiles)
            if check.leaves == head.size:
                findings.holds("leaves", count=check.leaves)
                findings.holds("sanity", count=check.leaves)
        check_key(note, chain, scan.last_ms, findings, place)
        self.copied.sizes[epoch] = self.result.sizes[epoch] = head.size
        self.copied.last_ms[epoch] = scan.last_ms
        self.copied.tiles[epoch] = CopiedTiles(self.copy, epoch, head.size)
        self.copied.leaves[epoch] = kept
        if scan.last_ms:
            statistics.last_ms = max(statistics.last_ms, scan.last_ms)

    def _held_heads(self, epoch: int, chain: StatementChain) -> list[tuple[str, Checkpoint, bytes]]:
        found = []
        for name, note in self.copy.heads(epoch):
            try:
                found.append((name, signed_head(note, chain, epoch), note))
            except RemoteProtocolError as error:
                self.findings.add("bad_head", name, detail=error.detail or error.reason.value)
        return found

    def _compare(
        self,
        roots: Mapping[int, bytes],
        head: Checkpoint,
        held: list[tuple[str, Checkpoint, bytes]],
        others: list[tuple[str, NodeId, Checkpoint]],
        note: bytes,
        chain: StatementChain,
    ) -> None:
        """Every head ever seen against this one tree."""
        good = []
        for name, item, raw in held:
            if item.size > head.size:
                self.findings.add("beyond_copy", name, size=head.size, seen=item.size)
            elif roots[item.size] != item.root:
                self.findings.add("fork", name, first=item.size, second=head.size)
                write_fork(self.folder, self.copy, chain, raw, note)
            else:
                good.append(item.size)
        if good:
            self.findings.holds("heads", count=len(good), first=min(good), last=max(good))
        agree = 0
        for file, _, item in others:
            if item.size > head.size:
                continue  # newer than the copy; what is in it, the evidence itself tells
            if roots[item.size] != item.root:
                self.findings.add("head_disagrees", file, who=file, size=item.size)
            else:
                agree += 1
        if agree:
            self.findings.holds("others", count=agree)


_OF_A_FETCH = frozenset(
    {"rollback", "fork", "bad_head", "bad_root", "bad_tile", "bad_leaf", "bad_statements", "statements_withheld"}
    | {"missing_tile", "missing_bundle", "tile_length", "bundle_length", "unreachable", "too_slow", "too_many"}
)


def _name_of(copy: LogCopy) -> tuple[str, bool]:
    raw = copy.read(copy.source_file)
    try:
        origin = Origin.decode(raw or b"{}")
    except CoffreError:
        return copy.node.text[:16], False
    return origin.name, origin.is_confirmed


class _Wanted:
    """Which leaves a disclosure may owe: those of its time, or all that have a tag, to be kept while passing by."""

    def __init__(self, taken: TakenFiles, node: NodeId) -> None:
        reports = [report for _, report, _ in taken.disclosures if report.node == node]
        self._periods = [
            (report.scope.from_ms, report.scope.until_ms)
            for report in reports
            if report.scope.letter is None and report.scope.mailbox is None
        ]
        self._tags = {
            bytes(event.leaf.tag)
            for report in reports
            if report.scope.letter is not None
            for event in report.events
            if event.details.letter == report.scope.letter
        }

    @property
    def is_needed(self) -> bool:
        """Whether any leaf is wanted."""
        return bool(self._periods or self._tags)

    def pick(self, first: int, bundle: bytes) -> dict[int, bytes]:
        """The wanted leaves of a bundle, by index."""
        found = {}
        for index, at in enumerate(range(0, len(bundle), ENTRY_BYTES), first):
            leaf = bundle[at + 2 : at + ENTRY_BYTES]
            time_ms = int.from_bytes(leaf[3:11], "big")
            if leaf[11:27] in self._tags or any(start <= time_ms < end for start, end in self._periods):
                found[index] = leaf
        return found
