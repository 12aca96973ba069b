"""Institutions that showed two histories, and the proofs, for auditors. Spec: spec/desks.md, 6."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.web.staff.desk import AUDITOR, StaffDesk, StaffVisit
from node.web.staff.forms import raw_id
from protocol.statement import node_digits

__all__ = ["AuditorAlarmPages"]

_PATH: Final = "/auditor/alarms"


@dataclass(frozen=True, slots=True)
class AuditorAlarmPages:
    """/staff/auditor/alarms"""

    desk: StaffDesk

    def routes(self) -> list[Route]:
        """Where what is found."""
        return [
            self.desk.page(AUDITOR, _PATH, self.show),
            self.desk.page(AUDITOR, f"{_PATH}/{{alarm}}/proof", self.proof),
            self.desk.page(AUDITOR, f"{_PATH}/log-head.txt", self.head),
        ]

    async def show(self, request: Request, visit: StaffVisit) -> Response:
        """All alarms, those that ended too."""
        node = self.desk.node
        alarms = await node.database.read(node.alarm_rows.all)
        digits = {alarm.node_id: node_digits(alarm.node_id) for alarm in alarms}
        return self.desk.show(request, "staff/auditor_alarms.html", visit, alarms=alarms, digits=digits)

    async def proof(self, request: Request, visit: StaffVisit) -> Response:
        """The proof, which anybody can check: coffre evidence verify FILE."""
        del visit
        node = self.desk.node
        alarm = await node.database.read(node.alarm_rows.find, raw_id(request, "alarm").hex())
        headers = {"Content-Disposition": f'attachment; filename="{alarm.id.hex()[:12]}.coffre-fork"'}
        return Response(alarm.file, media_type="application/octet-stream", headers=headers)

    async def head(self, request: Request, visit: StaffVisit) -> Response:
        """The newest signed head of the own log, to compare with what others were shown."""
        del request, visit
        node = self.desk.node
        headers = {"Content-Disposition": 'attachment; filename="log-head.txt"'}
        note = await node.database.read(node.own_log_head)
        return Response(note, media_type="application/octet-stream", headers=headers)
