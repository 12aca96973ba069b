"""One institution's log, checked whole. Spec: spec/audit.md, 3."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from node.auditor.agreement import Copied
from node.auditor.files import TakenFiles
from node.auditor.findings import Checked, Finding, Findings, Severity, gravest
from node.auditor.forks import write_fork
from node.auditor.heads import Cosigners, check_daily, check_key, count_cosigners, signed_head
from node.auditor.leaves import LeafScan
from node.auditor.places import AuditFolder, LogCopy, chain_or_reason
from node.auditor.sources import Origin
from node.auditor.statistics import Statistics
from node.auditor.tree import ENTRY_BYTES, CopiedTiles
from node.auditor.whole_tree import check_tree
from node.errors import CoffreError
from protocol.checkpoint import Checkpoint
from protocol.errors import RemoteProtocolError
from protocol.ids import NodeId
from protocol.statement import StatementChain, node_digits

__all__ = ["InstitutionAudit", "LogAudit"]


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


class LogAudit:
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
        """Check all epochs; what files are then compared with. chains, names: of every node known."""
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
        self._cosigners(epochs[-1], self.chain, chains, names)
        return self.copied

    def _cosigners(
        self, epoch: int, own: StatementChain, chains: Mapping[NodeId, StatementChain], names: Mapping[NodeId, str]
    ) -> None:
        """Who cosigned the newest head, or the one that the log shows as cosigned by most."""
        counted: list[Cosigners] = []
        for name in ("checkpoint", "cosigned"):
            note = self.copy.read(self.copy.log / str(epoch) / name)
            place = f"epoch {epoch}, {'head' if name == 'checkpoint' else name}"
            if note is None:
                continue
            try:
                signed_head(note, own, epoch)
            except RemoteProtocolError as error:
                self.findings.add("bad_head", place, detail=error.detail or error.reason.value)
                continue
            counted.append(count_cosigners(note, own, chains, names, self._now_ms, self.findings, place))
        if counted:
            best = max(counted, key=lambda item: len(item.nodes))
            self.result.cosigners = [names.get(node, node.text[:16]) for node in best.nodes]
            self.findings.holds("cosignatures", count=len(best.nodes), unknown=best.unknown)

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
        self._daily(epoch, chain)
        self.copied.sizes[epoch] = self.result.sizes[epoch] = head.size
        self.copied.last_ms[epoch] = scan.last_ms
        self.copied.tiles[epoch] = CopiedTiles(self.copy, epoch, head.size)
        self.copied.leaves[epoch] = kept
        if scan.last_ms:
            statistics.last_ms = max(statistics.last_ms, scan.last_ms)

    def _daily(self, epoch: int, chain: StatementChain) -> None:
        """The heads of days: beside Ed25519, which a quantum computer may break, each has a second signature."""
        good = 0
        for path in sorted((self.copy.log / str(epoch) / "daily").glob("*-*-*")):
            place = f"epoch {epoch}, daily/{path.name}"
            good += check_daily(self.copy.read(path) or b"", chain, self.findings, place)
        if good:
            self.findings.holds("daily", count=good)

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


_OF_A_FETCH: Final = frozenset(
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
