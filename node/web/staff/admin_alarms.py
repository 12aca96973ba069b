"""Institutions that showed two histories: the proof, and the end of an alarm. Spec: spec/staff.md, 6.8."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.errors import ConfigError
from node.reports.rendering import N_
from node.trust.alarm_rows import Alarm, Clearing
from node.web.staff.desk import ADMINISTRATOR, StaffDesk, StaffVisit
from node.web.staff.forms import is_confirmed, line, raw_id
from protocol.fork_file import parse_fork_file
from protocol.statement import node_digits

__all__ = ["ALARMS_PATH", "AlarmPages"]

ALARMS_PATH: Final = "/admin/alarms"
_ALARM_ID_BYTES: Final = 32
_FOLLOW: Final = {
    "held": N_("the history that this node has"),
    "first": N_("the first history of the proof"),
    "second": N_("the second history of the proof"),
}
_DONE: Final = {"cleared": N_("The alarm ended, on record.")}


@dataclass(frozen=True, slots=True)
class AlarmPages:
    """/staff/admin/alarms"""

    desk: StaffDesk

    def routes(self) -> list[Route]:
        """Where what is found."""
        page, action, one = self.desk.page, self.desk.action, f"{ALARMS_PATH}/{{alarm}}"
        return [
            page(ADMINISTRATOR, ALARMS_PATH, self.show),
            page(ADMINISTRATOR, one, self.show_one),
            page(ADMINISTRATOR, f"{one}/proof", self.proof),
            action(ADMINISTRATOR, f"{one}/clear", self.clear),
        ]

    async def show(self, request: Request, visit: StaffVisit) -> Response:
        """All alarms, those that ended too."""
        node = self.desk.node
        alarms = await node.database.read(node.alarm_rows.all)
        done = _DONE.get(request.query_params.get("done", ""))
        return self.desk.show(request, "staff/alarms.html", visit, alarms=alarms, done=done)

    async def _alarm(self, request: Request) -> Alarm:
        node = self.desk.node
        return await node.database.read(node.alarm_rows.find, raw_id(request, "alarm", _ALARM_ID_BYTES).hex())

    async def show_one(self, request: Request, visit: StaffVisit) -> Response:
        """What it proves, and what to do."""
        alarm = await self._alarm(request)
        report = parse_fork_file(alarm.file).verify()
        digits = node_digits(report.found.node_id)
        return self.desk.show(
            request, "staff/alarm.html", visit, alarm=alarm, report=report, digits=digits, follow=_FOLLOW
        )

    async def proof(self, request: Request, visit: StaffVisit) -> Response:
        """The proof as a file, which anybody can check: coffre evidence verify FILE."""
        del visit
        alarm = await self._alarm(request)
        headers = {"Content-Disposition": f'attachment; filename="{alarm.id.hex()[:12]}.coffre-fork"'}
        return Response(alarm.file, media_type="application/octet-stream", headers=headers)

    async def clear(self, request: Request, visit: StaffVisit) -> Response:
        """End it, once people know what happened."""
        form, alarm, say = await request.form(), await self._alarm(request), self.desk.text
        follow, reason = line(form, "follow"), line(form, "reason")
        if follow not in _FOLLOW:
            raise ConfigError("choose which history is followed from now on")
        if not is_confirmed(form):
            return self.desk.confirm(
                request,
                visit,
                title=say(request, N_("End the alarm about {institution}?"), institution=alarm.institution),
                points=[
                    say(request, N_("From now on this is followed: {history}."), history=say(request, _FOLLOW[follow])),
                    say(request, N_("The proof is kept, and the reason is put on record.")),
                ],
                button=say(request, N_("End the alarm")),
                back=f"/staff{ALARMS_PATH}/{alarm.id.hex()}",
                fields={"follow": follow, "reason": reason},
            )
        await self.desk.node.database.write(self.desk.node.alarm_rows.clear, Clearing(alarm.id, follow, reason))
        return self.desk.done(ALARMS_PATH, "cleared")
