"""Fetching again and again, and telling what changed. Spec: spec/audit.md, 1 and 2."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import trio

from node.auditor.fetching import Fetched, fetch_log
from node.auditor.findings import Finding, Findings, Severity
from node.auditor.leaves import LeafScan
from node.auditor.places import AuditFolder, LogCopy
from node.auditor.sources import Origin
from node.auditor.statistics import Statistics, kind_name
from node.auditor.tree import ENTRY_BYTES
from node.errors import ConfigError
from node.reports.rendering import language_of
from protocol.checkpoint import peek_checkpoint
from protocol.tile_paths import TILE_WIDTH, TilePath

__all__ = ["Change", "Watch", "run_hook"]

_HOOK_TIMEOUT_S: Final = 60
_MOST_TOLD: Final = 1000


@dataclass(slots=True)
class Change:
    """What one round brought for one institution. alarms: findings not told before."""

    institution: str
    at_ms: int
    leaves: int
    kinds: dict[str, int] = field(default_factory=dict)
    alarms: list[Finding] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """For programs and hooks."""
        language = language_of("en")
        return {
            "institution": self.institution,
            "at_ms": self.at_ms,
            "leaves": self.leaves,
            "kinds": self.kinds,
            "alarms": [item.to_json(language) for item in self.alarms],
        }


class Watch:
    """Rounds over all institutions of a folder. What was told is remembered in the folder, whenever it is killed."""

    def __init__(self, folder: AuditFolder, *, silent_after_ms: int, now_ms: Callable[[], int]) -> None:
        """silent_after_ms: without a new event for longer, an institution is told as silent."""
        self._folder = folder
        self._silent_after_ms = silent_after_ms
        self._now_ms = now_ms

    async def round(self) -> list[Change]:
        """Fetch from every institution; the changes, those without news left out. ConfigError without institutions."""
        changes = []
        for copy in self._folder.copies():
            origin = Origin.decode(copy.read(copy.source_file) or b"{}")
            fetched = await fetch_log(self._folder, origin, now_ms=self._now_ms())
            change = await trio.to_thread.run_sync(self._change, copy, fetched)
            if change.leaves or change.alarms:
                changes.append(change)
        return changes

    def _change(self, copy: LogCopy, fetched: Fetched) -> Change:
        now_ms = self._now_ms()
        findings = Findings(fetched.institution)
        findings.extend(fetched.findings)
        kinds: Counter[int] = Counter()
        for epoch, start, end in fetched.new:
            kinds.update(_scan(copy, epoch, start, end, now_ms, findings))
        last_ms = _last_event_ms(copy)
        if last_ms and now_ms - last_ms > self._silent_after_ms:
            findings.add("silent", moment=language_of("en").moment(last_ms))
        told = [str(item) for item in copy.seen().get("told", [])]
        fresh = [item for item in findings.found if _is_alarm(item) and _key(item) not in told]
        standing = {_key(item) for item in findings.found}
        # What is over is forgotten, so that it is told again if it comes again; a defect never is.
        kept = [key for key in told if key in standing or key.startswith(Severity.DEFECT.value)]
        copy.remember(told=[*kept, *(_key(item) for item in fresh)][-_MOST_TOLD:])
        words = {kind_name(kind): number for kind, number in kinds.items()}
        return Change(fetched.institution, now_ms, fetched.leaves, words, fresh)

    async def run(
        self, *, every_s: float, tell: Callable[[Change], Awaitable[None]], until_alarm: bool = False
    ) -> bool:
        """Rounds for ever, or until the first alarm: then True."""
        while True:
            for change in await self.round():
                await tell(change)
                if until_alarm and change.alarms:
                    return True
            await trio.sleep(every_s)


def _is_alarm(item: Finding) -> bool:
    return item.severity is not Severity.NOTE or item.code == "silent"


def _key(item: Finding) -> str:
    return f"{item.severity.value} {item.code} {item.place}"


def _scan(copy: LogCopy, epoch: int, start: int, end: int, now_ms: int, findings: Findings) -> Counter[int]:
    """The new leaves alone: their kinds, and what is odd about them."""
    statistics = Statistics()
    # Deposits before `start` are not known here: pairs of events are for `verify`.
    scan = LeafScan(epoch, now_ms, findings, statistics, _AnyLetter(), size=start)
    for number in range(start // TILE_WIDTH, -(-end // TILE_WIDTH)):
        first = number * TILE_WIDTH
        bundle = copy.read(copy.tile(epoch, TilePath(None, number, min(TILE_WIDTH, end - first))))
        if bundle is not None:
            skipped = max(0, start - first)
            scan.read(first + skipped, bundle[skipped * ENTRY_BYTES :])
    scan.finish()
    return statistics.kinds


class _AnyLetter(dict[bytes, int]):
    """Every letter counts as deposited."""

    def get(self, key: bytes, default: Any = None) -> Any:
        return super().get(key, 0)


def _last_event_ms(copy: LogCopy) -> int:
    """The time of the newest leaf; 0 if leaves are not read."""
    epochs = copy.epochs()
    if not epochs:
        return 0
    size = peek_checkpoint(copy.read(copy.checkpoint(epochs[-1])) or b"").size
    number = (size - 1) // TILE_WIDTH
    width = min(TILE_WIDTH, size - number * TILE_WIDTH)
    bundle = copy.read(copy.tile(epochs[-1], TilePath(None, number, width))) if size else None
    return 0 if not bundle else int.from_bytes(bundle[-ENTRY_BYTES + 5 : -ENTRY_BYTES + 13], "big")


async def run_hook(command: str, change: Change) -> str:
    """Run a program with the change as JSON on its standard input, without a shell. What went wrong, or nothing.

    ConfigError for a command line that cannot be taken apart.
    """
    try:
        arguments = shlex.split(command)
    except ValueError as error:
        raise ConfigError(f"--hook {command!r}: {error}") from error
    if not arguments:
        raise ConfigError("--hook is empty")
    data = json.dumps(change.to_json(), ensure_ascii=False).encode()
    try:
        with trio.move_on_after(_HOOK_TIMEOUT_S) as scope:
            done = await trio.run_process(arguments, stdin=data, check=False, stdout=subprocess.DEVNULL)
            return "" if done.returncode == 0 else f"{arguments[0]} ended with status {done.returncode}"
    except OSError as error:
        return f"{arguments[0]} cannot be run: {error.strerror}"
    assert scope.cancelled_caught
    return f"{arguments[0]} took more than {_HOOK_TIMEOUT_S} s"
