"""What the leaves of one epoch say: kinds, times, starts and stops, pairs of events. Spec: spec/audit.md, 3."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from struct import Struct
from typing import Final

from node.auditor.findings import Findings
from node.auditor.statistics import Statistics, month_of, month_start_ms
from node.auditor.tree import ENTRY_BYTES
from node.reports.rendering import language_of
from protocol.logleaf import EventKind

__all__ = ["LeafScan"]

_LEAF: Final = Struct(">2xBHQ16s32x")
_NO_TAG: Final = bytes(16)
_VERSION: Final = 2
_TOLERATED_BACK_MS: Final = 10_000
_TOLERATED_AHEAD_MS: Final = 300_000
# The node looks at its clock every second or two; a burst of letters may come between.
_NEAR_A_JUMP: Final = 1000
_SILENCE_MS: Final = 7 * 86_400_000
_KNOWN: Final = frozenset(int(kind) for kind in EventKind)
_DEPOSITED: Final = int(EventKind.DEPOSITED)
_ENDS: Final = frozenset(int(kind) for kind in (EventKind.OPENED, EventKind.COLLECTED, EventKind.UNREADABLE))
_STARTED, _STOPPED = int(EventKind.STARTED), int(EventKind.STOPPED)
_EPOCH_OPENED, _JUMPED = int(EventKind.EPOCH_OPENED), int(EventKind.CLOCK_JUMPED)
# The year 9999, which the calendar of the standard library ends with.
_LAST_MOMENT_MS: Final = 253_402_300_000_000


@dataclass(slots=True)
class LeafScan:
    """Reads the leaves of one epoch in order; `finish` makes the findings that need all of them.

    now_ms: the auditor's clock. letters: deposits by tag, shared by the epochs of one log: 0 once opened.
    """

    epoch: int
    now_ms: int
    findings: Findings
    statistics: Statistics
    letters: dict[bytes, int]
    size: int = 0
    last_ms: int = 0
    _is_running: bool = False
    _jumps: list[int] = field(default_factory=list)
    _backwards: list[tuple[int, int]] = field(default_factory=list)

    def place(self, index: int) -> str:
        """How a finding names a leaf."""
        return f"epoch {self.epoch}, leaf {index}"

    def read(self, first: int, bundle: bytes) -> None:
        """The leaves of a bundle of right lengths; the loop of an audit."""
        statistics, letters, last = self.statistics, self.letters, self.last_ms
        limit = self.now_ms + _TOLERATED_AHEAD_MS
        month_end = month_from = 0
        counts: Counter[int] = Counter()
        if first != self.size:
            last = 0  # leaves in between are missing: times are not compared over the gap
        for index, (version, kind, time_ms, tag) in enumerate(_LEAF.iter_unpack(bundle), first):
            if version != _VERSION or kind not in _KNOWN:
                self._unknown(index, version, kind)
            if not month_from <= time_ms < month_end and time_ms < _LAST_MOMENT_MS:
                month = month_of(time_ms)
                month_from, month_end = month_start_ms(month), month_start_ms(month + 1)
                counts = statistics.by_month.setdefault(month, Counter())
            counts[kind] += 1
            if kind == _DEPOSITED:
                letters.setdefault(tag, time_ms)
            elif kind in _ENDS:
                deposited = letters.get(tag)
                if deposited is None:
                    self.findings.add("opened_without_deposit", self.place(index), kind=EventKind(kind).word)
                elif deposited:
                    statistics.delays_ms.append(max(0, time_ms - deposited))
                    letters[tag] = 0
            elif tag == _NO_TAG:
                self._of_the_node(index, kind, time_ms, last)
            if time_ms < last - _TOLERATED_BACK_MS:
                self._back(index, kind, last - time_ms)
            last = time_ms
            if index == 0 and kind != _EPOCH_OPENED:
                word = EventKind(kind).word if kind in _KNOWN else str(kind)
                self.findings.add("no_epoch_opened", self.place(0), kind=word)
            if time_ms > limit:
                self._ahead(index, time_ms)
        self.last_ms = last
        self.size = first + len(bundle) // ENTRY_BYTES

    def _unknown(self, index: int, version: int, kind: int) -> None:
        if version == _VERSION:
            self.findings.add("later_kind", self.place(index), kind=kind)
        else:
            self.findings.add("unknown_leaf", self.place(index))

    def _ahead(self, index: int, time_ms: int) -> None:
        moment = language_of("en").moment(time_ms) if time_ms < _LAST_MOMENT_MS else str(time_ms)
        self.findings.add("future_time", self.place(index), moment=moment)

    def _of_the_node(self, index: int, kind: int, time_ms: int, last: int) -> None:
        """Events of no letter: the node's own starts and stops among them."""
        if self._is_running and last and time_ms - last > _SILENCE_MS:
            self.findings.add("silence", self.place(index), days=(time_ms - last) // 86_400_000)
        if kind == _STARTED:
            if self._is_running:
                self.findings.add("not_stopped", self.place(index))
            self._is_running = True
        elif kind == _STOPPED:
            self._is_running = False
        elif kind == _JUMPED:
            self._jumps.append(index)
        elif kind == _EPOCH_OPENED and index:
            self.findings.add("epoch_opened_inside", self.place(index))

    def _back(self, index: int, kind: int, by_ms: int) -> None:
        if kind == _STARTED:
            self.findings.add("time_back_at_start", self.place(index), seconds=by_ms // 1000)
        else:
            self._backwards.append((index, by_ms))

    def finish(self) -> None:
        """After the last bundle."""
        for index, by_ms in self._backwards:
            if not any(abs(at - index) <= _NEAR_A_JUMP for at in self._jumps):
                self.findings.add("time_back", self.place(index), seconds=by_ms // 1000)
