"""The own log, page by page. Spec: spec/desks.md, 2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.audit.explorer import LogFilter, log_page
from node.audit.log import LeafRef
from node.reports.kinds import kind_words
from node.reports.rendering import N_, language_of
from node.web.staff.desk import AUDITOR, StaffDesk, StaffVisit
from protocol.details import Details
from protocol.ids import LeafTag
from protocol.logleaf import EventKind

__all__ = ["LOG_PATH", "LogPages", "detail_lines", "moment_of", "place_of"]

LOG_PATH: Final = "/auditor/log"
_FAMILIES: Final[dict[str, tuple[str, int, int]]] = {
    "letters": (N_("Letters"), 100, 300),
    "mailboxes": (N_("Mailboxes and log-ins"), 300, 400),
    "institutions": (N_("Institutions and relays"), 400, 420),
    "audit": (N_("Auditors and disclosures"), 420, 430),
    "keys": (N_("Keys, bundles, cosigning"), 430, 500),
    "node": (N_("The node"), 500, 520),
    "staff": (N_("Staff"), 520, 1000),
}
_FIELDS: Final = {
    "peer": N_("other institution"),
    "envelope": N_("envelope"),
    "slip": N_("slip"),
    "letter": N_("letter"),
    "payload": N_("payload"),
    "mailbox": N_("mailbox"),
    "code": N_("code"),
    "role": N_("role"),
    "actor": N_("acted"),
    "digest": N_("digest"),
    "signature": N_("signature"),
    "staff": N_("staff account"),
}
_MAX_PARAMETER: Final = 100
_ZONE: Final = "UTC"
"""Of what is typed to filter, as of what the page shows: the log's own times."""


def moment_of(text: str, zone: str) -> int:
    """A day or a minute as a browser's field has it, in this time zone; in ms, 0 for what is neither."""
    try:
        return max(0, round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000))
    except (ValueError, OverflowError, OSError):
        return 0


def place_of(text: str) -> LeafRef | None:
    """`<epoch>/<index>`; None for anything else."""
    epoch, _, position = text.strip().partition("/")
    good = all(part.isascii() and part.isdigit() and len(part) < 16 for part in (epoch, position))
    return LeafRef(int(epoch), int(position)) if good and int(epoch) < 2**31 else None


def detail_lines(details: Details) -> list[tuple[str, str]]:
    """What a leaf says beside whose log it is in, a field each: its name (English, translated), and its value."""
    found = []
    for item in fields(details):
        value: Any = getattr(details, item.name)
        if item.name == "node" or value is None:
            continue
        shown = value.text if hasattr(value, "text") else value.hex() if isinstance(value, bytes) else str(value)
        found.append((_FIELDS[item.name], shown))
    return found


@dataclass(frozen=True, slots=True)
class LogPages:
    """/staff/auditor/log"""

    desk: StaffDesk

    def routes(self) -> list[Route]:
        """Where what is found."""
        return [
            self.desk.page(AUDITOR, LOG_PATH, self.show),
            self.desk.action(AUDITOR, LOG_PATH, self.open),
        ]

    async def show(self, request: Request, visit: StaffVisit) -> Response:
        """A page of it, as it is published."""
        return await self._page(request, visit, request.query_params, opened=False)

    async def open(self, request: Request, visit: StaffVisit) -> Response:
        """The same page with the details that grants in force cover; on record."""
        form = await request.form()
        return await self._page(request, visit, {name: str(value) for name, value in form.items()}, opened=True)

    async def _page(self, request: Request, visit: StaffVisit, asked: Mapping[str, str], *, opened: bool) -> Response:
        node = self.desk.node
        given = {name: asked.get(name, "")[:_MAX_PARAMETER].strip() for name in ("kind", "from", "until", "tag")}
        before = place_of(asked.get("before", ""))
        grants = await node.disclosure_requests.in_force(visit.account.id)
        page = await node.database.read(
            lambda connection: log_page(
                connection, node.keys, self._filter(given), before=before, grants=grants, opened=opened
            )
        )
        if opened and page.covered:
            await self.desk.note(visit, f"details shown: {page.covered}")
        language = language_of(self.desk.templates.language(request))
        chosen = {name: value for name, value in given.items() if value}
        at = "" if before is None else f"{before.epoch}/{before.position}"
        older = None if page.older is None else f"{page.older.epoch}/{page.older.position}"
        return self.desk.show(
            request,
            "staff/auditor_log.html",
            visit,
            given=given,
            chosen=chosen,
            before=at,
            page=page,
            opened=opened,
            older=None if older is None else f"?{urlencode({**chosen, 'before': older})}",
            families=_FAMILIES,
            kinds=[(int(kind), kind_words(kind, language)) for kind in EventKind],
            words={line.kind: kind_words(line.kind, language) for line in page.lines},
            times={line.ref: language.moment(line.time_ms) for line in page.lines},
            details={line.ref: detail_lines(line.said) for line in page.lines if line.said is not None},
            no_tag=bytes(LeafTag.LENGTH),
        )

    def _filter(self, given: Mapping[str, str]) -> LogFilter:
        kind, tag = given["kind"], given["tag"]
        if kind in _FAMILIES:
            _, low, high = _FAMILIES[kind]
            kinds = frozenset(int(item) for item in EventKind if low <= item < high)
        else:
            kinds = frozenset({int(kind)}) if kind.isascii() and kind.isdigit() and int(kind) < 2**16 else frozenset()
        try:
            raw = bytes.fromhex(tag)
        except ValueError:
            raw = b""
        return LogFilter(
            kinds=kinds,
            from_ms=moment_of(given["from"], _ZONE),
            until_ms=moment_of(given["until"], _ZONE),
            tag=LeafTag(raw) if len(raw) == LeafTag.LENGTH else None,
        )
