"""Backups, and whether everything is as it must be. Spec: spec/staff.md, 6.13 and 6.14."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.audit.newest import newest_events
from node.doctor import examine
from node.doctor_findings import NAMES
from node.web.staff.desk import ADMINISTRATOR, StaffDesk, StaffVisit
from protocol.logleaf import EventKind

__all__ = ["BACKUPS_PATH", "HEALTH_PATH", "HealthPages"]

BACKUPS_PATH: Final = "/admin/backups"
HEALTH_PATH: Final = "/admin/health"
_SHOWN: Final = 20
_OLD_MS: Final = 2 * 86_400_000
"""Two days: a nightly backup that failed once is not yet a worry."""


@dataclass(frozen=True, slots=True)
class HealthPages:
    """/staff/admin/backups, /staff/admin/health"""

    desk: StaffDesk

    def routes(self) -> list[Route]:
        """Where what is found."""
        return [
            self.desk.page(ADMINISTRATOR, BACKUPS_PATH, self.backups),
            self.desk.page(ADMINISTRATOR, HEALTH_PATH, self.show),
            self.desk.action(ADMINISTRATOR, HEALTH_PATH, self.check),
        ]

    async def backups(self, request: Request, visit: StaffVisit) -> Response:
        """Those that were made: each was read back whole before it was put on record."""
        node = self.desk.node
        made = await node.database.read(newest_events, node.keys, EventKind.BACKUP_MADE, _SHOWN)
        restored = await node.database.read(newest_events, node.keys, EventKind.BACKUP_RESTORED, 1)
        is_old = not made or node.world.now_ms() - made[0].time_ms > _OLD_MS
        return self.desk.show(request, "staff/backups.html", visit, made=made, restored=restored, is_old=is_old)

    async def show(self, request: Request, visit: StaffVisit) -> Response:
        """What a check looks at."""
        return self.desk.show(request, "staff/health.html", visit, checks=None)

    async def check(self, request: Request, visit: StaffVisit) -> Response:
        """Look at everything now. It changes nothing, and takes as long as the database takes to be read."""
        checks = await examine(self.desk.node)
        return self.desk.show(request, "staff/health.html", visit, checks=checks, names=NAMES)
