"""Checks of the node's own log, asked for by a button and made beside the node. Spec: spec/desks.md, 4.

How far a check is stands in a file: the page that asks may be served by another process than the one that checks.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from subprocess import PIPE
from typing import Any, Final

import structlog
import trio

from node.auditor.kept_reports import KeptReport, kept_report, kept_reports, report_page
from node.auditor.places import AuditFolder, write_whole
from node.errors import CoffreError, StateError
from node.vault.acting import who_acts
from node.vault.database import Database, Transaction
from node.vault.signals import CHECKS
from protocol.details import Details
from protocol.ids import NodeId, StaffId
from protocol.logleaf import EventKind
from protocol.statement import StatementChain

__all__ = ["CheckRun", "LogChecks", "RunState"]

_WRITTEN_EVERY_S: Final = 0.5
_MAX_LINE_BYTES: Final = 64 * 1024

_logger = structlog.get_logger(__name__)


class RunState(StrEnum):
    """How far a check is."""

    NONE = "none"
    ASKED = "asked"
    COPYING = "copying"
    CHECKING = "checking"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class CheckRun:
    """The newest check. done, total: leaves of the step at hand. reason: why it failed."""

    state: RunState = RunState.NONE
    asked_at_ms: int = 0
    made_at_ms: int = 0
    done: int = 0
    total: int = 0
    reason: str = ""

    @property
    def is_under_way(self) -> bool:
        """Whether it has not ended yet."""
        return self.state in (RunState.ASKED, RunState.COPYING, RunState.CHECKING)


class LogChecks:
    """Asked for by whoever audits; made by a duty of the running node, one at a time."""

    def __init__(
        self,
        *,
        database: Database,
        folder: Path,
        chain: Callable[[], StatementChain],
        institution: str,
        node_id: NodeId,
    ) -> None:
        """folder: the auditor's folder of the own log; made when it is first needed."""
        self.folder = folder
        self._database = database
        self._chain = chain
        self._institution = institution
        self._node_id = node_id

    # -- reading; blocks

    def run_state(self) -> CheckRun:
        """The newest check."""
        try:
            fields: dict[str, Any] = json.loads((self.folder / "run.json").read_bytes())
            return CheckRun(**{**fields, "state": RunState(fields["state"])})
        except (OSError, ValueError, KeyError, TypeError):
            return CheckRun()

    def reports(self) -> list[KeptReport]:
        """What earlier checks came to, newest first."""
        return kept_reports(self.folder / "reports")

    def report(self, made_at_ms: int) -> KeptReport:
        """One of them. NotFoundError."""
        return kept_report(self.folder / "reports", made_at_ms)

    def page(self, made_at_ms: int, language: str) -> bytes:
        """Its HTML page. NotFoundError."""
        return report_page(self.folder / "reports", made_at_ms, language)

    # -- asking

    async def ask(self) -> None:
        """Ask for a check, on record. StateError while one is under way."""
        world = self._database.world
        if (await world.run_blocking(self.run_state)).is_under_way:
            raise StateError("the log is being checked already", hint="wait for its end")
        await world.run_blocking(self._write, CheckRun(RunState.ASKED, asked_at_ms=world.now_ms()))
        await self._database.write(self._put_on_record, who_acts())

    def _put_on_record(self, tx: Transaction, items: Sequence[StaffId | None]) -> Sequence[None]:
        for staff in items:
            if staff is not None:
                tx.log.append(
                    EventKind.STAFF_ACTED, Details(node=self._node_id, staff=staff, code="log check asked for")
                )
            tx.wake(CHECKS)
        return [None] * len(items)

    def _write(self, run: CheckRun) -> None:
        fields = {
            "state": run.state.value,
            "asked_at_ms": run.asked_at_ms,
            "made_at_ms": run.made_at_ms,
            "done": run.done,
            "total": run.total,
            "reason": run.reason,
        }
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(self.folder / "run.json", json.dumps(fields).encode(), private=True, durable=False)

    # -- the duty

    async def run(self) -> None:
        """Make the checks that are asked for, for ever. One that was cut off begins anew."""
        while True:
            ticket = self._database.signals.ticket(CHECKS)
            asked = await self._database.world.run_blocking(self.run_state)
            if asked.is_under_way:
                try:
                    await self._check(asked)
                except* (CoffreError, OSError) as group:
                    # Its own folder cannot be written: no reason for the node to end.
                    _logger.error("the check of the own log cannot be kept", reason=_reason(group))
            await ticket.wait()

    async def _check(self, asked: CheckRun) -> None:
        world = self._database.world
        run = CheckRun(RunState.COPYING, asked.asked_at_ms)
        await world.run_blocking(self._write, run)
        try:
            await self._copy(run)
            made_at_ms = world.now_ms()
            await self._verify(replace(run, state=RunState.CHECKING, made_at_ms=made_at_ms))
            run = replace(run, state=RunState.DONE, made_at_ms=made_at_ms)
        except* (CoffreError, OSError) as group:
            reason = _reason(group)
            _logger.error("the check of the own log failed", reason=reason)
            run = replace(run, state=RunState.FAILED, reason=reason)
        await world.run_blocking(self._write, run)

    async def _copy(self, run: CheckRun) -> None:
        # Only here: a node whose log nobody checks does not pay for it.
        from node.audit.stored_source import StoredSource
        from node.auditor.fetching import fetch_log
        from node.auditor.sources import Origin

        place = AuditFolder(self.folder)
        # The copy of before says nothing of what the database holds now; the heads seen stay.
        old = place.copy_of(self._node_id).log
        await self._database.world.run_blocking(partial(shutil.rmtree, old, ignore_errors=True))
        fields = {"source": 1, "path": str(self.folder.parent), "node": self._node_id.text}
        raw = json.dumps({**fields, "name": self._institution, "confirmed": True}, ensure_ascii=False).encode()
        told = _Told(partial(self._tell, run))
        await fetch_log(
            place,
            Origin.decode(raw),
            now_ms=self._database.world.now_ms(),
            progress=told.note,
            source=StoredSource(self._database, self._chain),
        )

    def _tell(self, run: CheckRun, done: int, total: int) -> None:
        self._write(replace(run, done=done, total=total))

    async def _verify(self, run: CheckRun) -> None:
        """In a process of its own; it ends with the duty. StateError if it came to no end."""
        world = self._database.world
        await world.run_blocking(self._write, run)
        # -P: what lies in the folder that the node was started in is none of its modules.
        command = [sys.executable, "-P", "-m", "node.auditor.check_process", str(self.folder), str(run.made_at_ms)]
        reason = ""
        process: trio.Process
        async with trio.open_nursery() as nursery:
            process = await nursery.start(partial(trio.run_process, command, stdout=PIPE, check=False))
            assert process.stdout is not None
            rest, written = b"", float("-inf")
            async for data in process.stdout:
                *lines, rest = (rest + data).split(b"\n")
                if len(rest) > _MAX_LINE_BYTES:
                    rest = b""
                said = [json.loads(line) for line in lines if line.startswith(b"{")]
                reason = next((str(item["error"]) for item in said if "error" in item), reason)
                steps = [item for item in said if "done" in item]
                if steps and trio.current_time() - written >= _WRITTEN_EVERY_S:
                    written = trio.current_time()
                    last = steps[-1]
                    step = replace(run, done=int(last["done"]), total=int(last["total"]))
                    await world.run_blocking(self._write, step)
        if process.returncode != 0:
            raise StateError(reason or "the check ended before it was done", hint="ask for it again")


def _reason(group: BaseExceptionGroup[CoffreError | OSError]) -> str:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error.message if isinstance(error, CoffreError) else str(error)


class _Told:
    """Notes how far the copying is, seldom enough to cost nothing."""

    def __init__(self, write: Callable[[int, int], None]) -> None:
        self._write = write
        self._written = float("-inf")

    def note(self, done: int, total: int) -> None:
        """Called in the loop: a file of a hundred bytes, twice a second."""
        if trio.current_time() - self._written >= _WRITTEN_EVERY_S:
            self._written = trio.current_time()
            self._write(done, total)
