"""Copying what is new of a published log; each byte is checked before it is kept. Spec: spec/audit.md, 2."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from node.auditor.findings import Finding, Findings, Severity
from node.auditor.forks import write_fork
from node.auditor.heads import signed_head
from node.auditor.places import AuditFolder, LogCopy, chain_or_reason, statement_lines, statement_list, write_whole
from node.auditor.sources import Origin, Source, SourceError, opened_source
from node.auditor.tile_fetching import EpochTiles, Stop
from node.errors import LimitError, NotFoundError
from node.reports.rendering import language_of
from protocol.checkpoint import Checkpoint, peek_checkpoint
from protocol.errors import Reason, RemoteProtocolError
from protocol.note import MAX_NOTE_BYTES
from protocol.statement import MAX_CHAIN, MAX_STATEMENT_BYTES, StatementChain

__all__ = ["MAX_LEAVES", "Fetched", "fetch_log"]

MAX_LEAVES: Final = 100_000_000
_MAX_EPOCHS_BYTES: Final = 64 * 1024
_MAX_STATEMENTS_BYTES: Final = MAX_CHAIN * (MAX_STATEMENT_BYTES + 1024) * 4 // 3
_MAX_EPOCHS: Final = 4096
# A century of days.
_MAX_DAYS_BYTES: Final = 1024 * 1024
_DAY: Final = re.compile(r"daily/[0-9]{4}-[0-9]{2}-[0-9]{2}")
# A server answers several at once; more would only queue there.
_AT_ONCE: Final = 8


@dataclass(slots=True)
class Fetched:
    """What a fetch did: leaves that are new, by epoch from where to where; bytes that came; what was found wrong."""

    institution: str
    new: list[tuple[int, int, int]] = field(default_factory=list)
    bytes: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def leaves(self) -> int:
        """New leaves."""
        return sum(end - start for _, start, end in self.new)

    def has(self, severity: Severity) -> bool:
        """Whether anything of this gravity was found."""
        return any(item.severity is severity for item in self.findings)


async def fetch_log(
    folder: AuditFolder,
    origin: Origin,
    *,
    now_ms: int,
    max_leaves: int = MAX_LEAVES,
    repair: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    source: Source | None = None,
) -> Fetched:
    """Bring the copy up to date. What is wrong with the log, or could not be had, is in the findings.

    source: where to read from, if not where the origin says.
    repair: look at every file of the copy, and fetch again what is missing or damaged.
    progress: leaves done, of so many that are new.
    """
    copy = folder.copy_of(origin.node)
    fetch = _Fetch(folder, copy, origin, max_leaves, progress, repair=repair)
    if not copy.source_file.exists() or copy.read(copy.source_file) != origin.raw:
        write_whole(copy.source_file, origin.raw, private=True)
    try:
        if source is not None:
            await fetch.run(source)
        else:
            async with opened_source(origin) as opened:
                await fetch.run(opened)
    except SourceError as error:
        fetch.findings.add("unreachable", detail=error.message)
    except (LimitError, NotFoundError) as error:
        fetch.findings.add("too_slow", detail=error.message)
    fetch.fetched.findings = fetch.findings.found
    last = [item.to_json(language_of("en")) for item in fetch.fetched.findings]
    if not fetch.fetched.has(Severity.OPEN):
        copy.remember(fetched_at_ms=now_ms, fetch=last)
    else:
        copy.remember(fetch=last)
    return fetch.fetched


class _Fetch:
    def __init__(
        self,
        folder: AuditFolder,
        copy: LogCopy,
        origin: Origin,
        max_leaves: int,
        progress: Callable[[int, int], None],
        *,
        repair: bool,
    ) -> None:
        self.folder = folder
        self.copy = copy
        self.origin = origin
        self.findings = Findings(origin.name)
        self.fetched = Fetched(origin.name)
        self._max_leaves = max_leaves
        self.advanced = progress
        self.repair = repair
        self.admitted = True

    async def get(self, source: Source, path: str, max_bytes: int) -> bytes | None:
        found = await source.get(path, max_bytes)
        self.fetched.bytes += len(found or b"")
        return found

    async def run(self, source: Source) -> None:
        chain = await self._chain(source)
        if chain is None:
            return
        for epoch in await self._epochs(source):
            try:
                await self._epoch(source, epoch, chain)
            except Stop:
                continue

    async def _chain(self, source: Source) -> StatementChain | None:
        raw = await self.get(source, "statements", _MAX_STATEMENTS_BYTES)
        held, reason = chain_or_reason(self.copy)
        held = held or self.origin.chain
        try:
            if raw is None:
                raise RemoteProtocolError(Reason.MALFORMED, reason or "there are none")
            shown = StatementChain.from_raw_list(statement_list(raw))
            if shown.node_id != self.copy.node:
                raise RemoteProtocolError(Reason.MISMATCH, "they are another node's")
            both = shown
            for item in () if held is None else held.raw_list():
                both = both.extend(item)
        except RemoteProtocolError as error:
            self.findings.add("bad_statements", "log/statements", detail=error.detail or error.reason.value)
            return None
        if len(both.raw_list()) > len(shown.raw_list()):
            self.findings.add("statements_withheld", "log/statements")
        write_whole(self.copy.log / "statements", statement_lines(both))
        return both

    async def _epochs(self, source: Source) -> list[int]:
        raw = await self.get(source, "epochs", _MAX_EPOCHS_BYTES)
        numbers = []
        for line in (raw or b"").decode("ascii", "replace").splitlines()[:_MAX_EPOCHS]:
            number = line.partition(" ")[0]
            if number.isascii() and number.isdigit() and 0 < int(number) < 2**31:
                numbers.append(int(number))
        if not numbers:
            self.findings.add("bad_head", "log/epochs", detail="no epoch is named")
        return sorted(set(numbers))

    async def _epoch(self, source: Source, epoch: int, chain: StatementChain) -> None:
        place = f"epoch {epoch}, head"
        note = await self.get(source, f"{epoch}/checkpoint", MAX_NOTE_BYTES)
        try:
            if note is None:
                raise RemoteProtocolError(Reason.MALFORMED, "there is none")
            head = signed_head(note, chain, epoch)
        except RemoteProtocolError as error:
            self.findings.add("bad_head", place, detail=error.detail or error.reason.value)
            return
        known_note = self.copy.read(self.copy.checkpoint(epoch))
        held = None if known_note is None else peek_checkpoint(known_note)
        largest = self.copy.largest_head(epoch)
        self.copy.keep_head(head, note)
        start = 0 if held is None else held.size
        if head.size < max(largest, start):
            self.findings.add("rollback", place, size=head.size, seen=max(largest, start))
        if head.size < start:
            return
        if held is not None and head.size == start and head.root != held.root:
            write_fork(self.folder, self.copy, chain, known_note or b"", note)
            self.findings.add("fork", place, first=start, second=head.size)
            return
        if head.size - start > self._max_leaves:
            self.findings.add("too_many", place, size=head.size, limit=self._max_leaves)
            return
        await EpochTiles(self, source, epoch, head).run(held, known_note, note, chain)
        if head.size > start:
            self.fetched.new.append((epoch, start, head.size))
        await self._other_heads(source, epoch, chain, head)

    async def _other_heads(self, source: Source, epoch: int, chain: StatementChain, head: Checkpoint) -> None:
        """The head with most cosignatures and those of each day, where the log has them; each is kept as one seen."""
        names = ["cosigned"]
        days = await self.get(source, f"{epoch}/daily/days", _MAX_DAYS_BYTES)
        for line in (days or b"").decode("ascii", "replace").splitlines():
            name = f"daily/{line.partition(' ')[0]}"
            if _DAY.fullmatch(name) and not (self.copy.log / str(epoch) / name).exists():
                names.append(name)
        for name in names:
            note = await self.get(source, f"{epoch}/{name}", MAX_NOTE_BYTES)
            if note is None:
                continue
            try:
                found = signed_head(note, chain, epoch)
            except RemoteProtocolError as error:
                self.findings.add("bad_head", f"epoch {epoch}, {name}", detail=error.detail or error.reason.value)
                continue
            # One that was made since the checkpoint was read waits for the next fetch.
            if found.size <= head.size:
                self.copy.keep_head(found, note)
                write_whole(self.copy.log / str(epoch) / name, note)
