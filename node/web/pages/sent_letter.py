"""A sent letter: where it stands for each recipient, its story, its evidence; taking it back, writing it again.

Spec: spec/web.md, 7.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.errors import NotFoundError, StateError
from node.reports.evidence_html import evidence_html
from node.reports.evidence_story import Story, tell
from node.reports.rendering import N_, language_of
from node.vault.draft_rows import DRAFT_NAME_BYTES
from node.vault.evidence_export import export_evidence
from node.vault.outcomes import RefusalCode
from node.vault.reading import StoredLetter
from node.vault.states import DeliveryState, LetterFolder
from node.vault.timeline import Timeline
from node.web.pages.desk import Box, Desk, see_other
from node.web.pages.filed import filed
from protocol.evidence_file import EvidenceFile, write_evidence_file
from protocol.evidence_findings import Report
from protocol.evidence_report import verify_evidence_file

__all__ = ["SentLetterPages"]

# A report is a page of its own that prints without this site: its style is inside, and nothing of it runs.
_REPORT_POLICY: Final = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; base-uri 'none'"
)
_OPEN: Final = (DeliveryState.WAITING, DeliveryState.DEPOSITED)
STATES: Final = {
    DeliveryState.WAITING: N_("on its way"),
    DeliveryState.DEPOSITED: N_("in the mailbox, not opened yet"),
    DeliveryState.OPENED: N_("opened"),
    DeliveryState.COLLECTED: N_("collected"),
    DeliveryState.REFUSED: N_("refused"),
    DeliveryState.EXPIRED: N_("not delivered in time"),
    DeliveryState.WITHDRAWN: N_("withdrawn, unopened"),
    DeliveryState.UNREADABLE: N_("delivered, unreadable"),
    DeliveryState.ERASED_UNREAD: N_("erased unread, its time was over"),
}
_OPENED_BY: Final = {
    "member": N_("opened by {actor}, a member of the mailbox"),
    "deputy": N_("opened by {actor}, the deputy"),
}
_REFUSALS: Final = {
    RefusalCode.UNKNOWN_MAILBOX: N_("there is no such mailbox any more"),
    RefusalCode.CLOSED: N_("the mailbox is closed"),
    RefusalCode.MOVED: N_("the mailbox is closed and moved"),
    RefusalCode.CLASS_NOT_ACCEPTED: N_("the mailbox takes no letters of this class"),
    RefusalCode.TOO_LARGE: N_("the letter is too large for the mailbox"),
    RefusalCode.MAILBOX_FULL: N_("the mailbox is full"),
    RefusalCode.DISK_FULL: N_("the institution has no room left"),
    RefusalCode.UNKNOWN_SENDER: N_("the institution does not know this one"),
}
_REFUSED: Final = N_("refused: {reason}")


@dataclass(frozen=True, slots=True)
class SentLetterPages:
    """Sent letters."""

    desk: Desk

    def routes(self) -> list[Route]:
        """Where what is found."""
        inside, base = self.desk.in_box, "/box/{box}/sent/{row}"
        return [
            Route(base, inside(self.show), methods=["GET"]),
            Route(f"{base}/states", inside(self.states), methods=["GET"]),
            Route(f"{base}/evidence", inside(self.evidence), methods=["GET"]),
            Route(f"{base}/report", inside(self.report), methods=["GET"]),
            Route(f"{base}/withdraw", inside(self.withdraw), methods=["POST"]),
            Route(f"{base}/again", inside(self.again), methods=["POST"]),
        ]

    async def _stored(self, request: Request, box: Box) -> StoredLetter:
        row = request.path_params["row"]
        if len(row) != 32:
            raise NotFoundError("no such letter")
        return await self.desk.node.reading.find(box.opened, LetterFolder.SENT, row)

    async def show(self, request: Request, box: Box) -> Response:
        """The letter, one line for each recipient, and what happened in sentences."""
        stored = await self._stored(request, box)
        opened = await self.desk.node.reading.open(box.opened, stored)
        return self.desk.page(
            request,
            "sent_letter.html",
            box,
            folder="sent",
            opened=opened,
            letter=opened.letter,
            filed=await filed(self.desk.node, box.opened, opened),
            **await self._state_values(request, stored),
        )

    async def states(self, request: Request, box: Box) -> Response:
        """The lines and sentences alone, for a page that is open."""
        stored = await self._stored(request, box)
        return self.desk.page(request, "sent_states.html", box, **await self._state_values(request, stored))

    async def _state_values(self, request: Request, stored: StoredLetter) -> dict[str, Any]:
        timeline = await self.desk.node.timelines.timeline(stored)
        story = await self._story(request, stored)
        return {
            "row": stored.row,
            "timeline": timeline,
            "story": story,
            "state_lines": self._state_lines(request, timeline),
            "can_withdraw": any(line.state in _OPEN for line in timeline.recipients),
            "moved": any(line.moved_to for line in timeline.recipients),
        }

    def _state_lines(self, request: Request, timeline: Timeline) -> list[str]:
        """What is said of each recipient."""
        said = []
        for line in timeline.recipients:
            text, actor, reason = STATES[line.state], line.actor, ""
            if line.state is DeliveryState.OPENED and line.role in _OPENED_BY:
                text = _OPENED_BY[line.role]
            elif line.state is DeliveryState.REFUSED and line.code:
                text = _REFUSED
                known = _REFUSALS.get(line.code)
                reason = self.desk.templates.text(request, known) if known else line.code
            said.append(self.desk.templates.text(request, text, actor=actor, reason=reason))
        return said

    # -- evidence

    async def _evidence(self, stored: StoredLetter) -> tuple[bytes, EvidenceFile, Report]:
        node = self.desk.node
        file = await export_evidence(node.database, node.keys, node.directory, node.outbox, stored.row.hex())

        def verify() -> tuple[bytes, Report]:
            return write_evidence_file(file), verify_evidence_file(file)

        raw, report = await node.world.run_blocking(verify)
        return raw, file, report

    async def _story(self, request: Request, stored: StoredLetter) -> Story | None:
        try:
            _, file, report = await self._evidence(stored)
        except NotFoundError:
            return None  # erased, by what the institution keeps
        return tell(file, report, language_of(self.desk.templates.language(request)))

    async def evidence(self, request: Request, box: Box) -> Response:
        """All evidence of the letter as one file, which anyone can verify for ever."""
        stored = await self._stored(request, box)
        raw, _, _ = await self._evidence(stored)
        return Response(raw, media_type="application/octet-stream", headers=_as_file(stored, "txt"))

    async def report(self, request: Request, box: Box) -> Response:
        """The same for people: a page that prints; `?save` has it as a file."""
        stored = await self._stored(request, box)
        raw, file, report = await self._evidence(stored)
        language = self.desk.templates.language(request)
        page = await self.desk.node.world.run_blocking(
            lambda: evidence_html(
                raw, file, report, language=language, made_at_ms=self.desk.node.world.now_ms(), enclosed=True
            )
        )
        headers = {"Content-Security-Policy": _REPORT_POLICY, "Content-Language": language}
        if "save" in request.query_params:
            headers |= _as_file(stored, "html")
        return Response(page, media_type="text/html", headers=headers)

    # -- deeds

    async def withdraw(self, request: Request, box: Box) -> Response:
        """Take it back from everyone who has not opened it."""
        stored = await self._stored(request, box)
        await self.desk.node.withdrawals.request(box.opened, stored)
        return see_other(f"{box.path}/sent/{stored.row.hex()}")

    async def again(self, request: Request, box: Box) -> Response:
        """A draft to the new addresses of those who moved."""
        node, stored = self.desk.node, await self._stored(request, box)
        lines = (await node.timelines.timeline(stored)).recipients
        moved = tuple(dict.fromkeys(line.moved_to for line in lines if line.moved_to))
        if not moved:
            raise StateError("nobody whom this letter was refused for moved")
        name = node.world.random_bytes(DRAFT_NAME_BYTES)
        await node.drafts.resend(box.opened, name, await node.reading.open(box.opened, stored), moved)
        return see_other(f"{box.path}/write/{name.hex()}")


def _as_file(stored: StoredLetter, kind: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="evidence-{stored.row.hex()[:12]}.{kind}"'}
