"""Operator's alarms: what is open, since when, and saying that one knows. Spec: spec/staff.md, 6.16."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.operation.alarm_rows import MAX_REASON_BYTES, Acknowledgement
from node.operation.findings import AlarmCode
from node.reports.rendering import N_
from node.web.staff.desk import ADMINISTRATOR, StaffDesk, StaffVisit
from node.web.staff.forms import line, raw_id

__all__ = ["WATCH_PATH", "WatchPages"]

WATCH_PATH: Final = "/admin/watch"
_PAST_SHOWN: Final = 50
_PAGES: Final = {
    AlarmCode.LETTERS_STUCK: ("/staff/admin/outbox", N_("Outbox")),
    AlarmCode.KEYS_EXPIRING: ("/staff/admin/keys", N_("Keys and certificate")),
    AlarmCode.CERTIFICATE_EXPIRING: ("/staff/admin/keys", N_("Keys and certificate")),
    AlarmCode.ENDORSEMENT_EXPIRING: ("/staff/admin/trust", N_("Maintainers")),
    AlarmCode.DISK: ("/staff/admin/health", N_("Health")),
    AlarmCode.CLOCK: ("/staff/admin/health", N_("Health")),
    AlarmCode.BACKUP_OLD: ("/staff/admin/backups", N_("Backups")),
    AlarmCode.FORK_SEEN: ("/staff/admin/alarms", N_("Directory alarms")),
    AlarmCode.PEER_UNREACHABLE: ("/staff/admin/institutions", N_("Institutions")),
}
"""Where more is seen of what an alarm says, or something is done about it."""
_DONE: Final = {"acknowledged": N_("You know of it: no more reminders, unless it gets worse.")}


@dataclass(frozen=True, slots=True)
class WatchPages:
    """/staff/admin/watch"""

    desk: StaffDesk

    def routes(self) -> list[Route]:
        """Where what is found."""
        return [
            self.desk.page(ADMINISTRATOR, WATCH_PATH, self.show),
            self.desk.action(ADMINISTRATOR, f"{WATCH_PATH}/{{alarm}}/acknowledge", self.acknowledge),
        ]

    async def show(self, request: Request, visit: StaffVisit) -> Response:
        """Open alarms, as the last look found them, and those that are over."""
        node = self.desk.node
        alarms = [alarm for alarm in await node.database.read(node.operator_alarms.all) if alarm.raised_at_ms]
        told = node.settings.operation.alarms
        return self.desk.show(
            request,
            "staff/watch.html",
            visit,
            alarms=[alarm for alarm in alarms if alarm.is_open],
            past=[alarm for alarm in alarms if not alarm.is_open][:_PAST_SHOWN],
            pages=_PAGES,
            is_told=bool(told.email or told.webhook),
            most=MAX_REASON_BYTES,
            done=_DONE.get(request.query_params.get("done", "")),
        )

    async def acknowledge(self, request: Request, visit: StaffVisit) -> Response:
        """No more reminders at this level, on record with the reason."""
        form, node, alarm = await request.form(), self.desk.node, raw_id(request, "alarm")
        known = Acknowledgement(alarm, line(form, "reason"), visit.account.id)
        await node.database.write(node.operator_alarms.acknowledge, known)
        return self.desk.done(WATCH_PATH, "acknowledged")
