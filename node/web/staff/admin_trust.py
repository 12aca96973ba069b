"""Maintainers whose word counts here, the threshold, and what follows. Spec: spec/staff.md, 6.5."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from directory_sync.trust import Verdict
from node.errors import ConfigError
from node.reports.rendering import N_
from node.trust.meeting import check_digits
from node.trust.overview import MaintainerWarning, maintainers, read_maintainer, warned_days
from node.web.staff.desk import ADMINISTRATOR, StaffDesk, StaffVisit
from node.web.staff.forms import is_confirmed, line, node_of, upload

__all__ = ["TRUST_PATH", "TrustPages"]

TRUST_PATH: Final = "/admin/trust"
_MAX_FEED_BYTES: Final = 8 * 1024 * 1024
_DONE: Final = {
    "trusted": N_("The maintainer is trusted from now on."),
    "carried": N_("The newer feed was taken in."),
    "nothing": N_("There was nothing new in the file."),
    "distrusted": N_("The maintainer is trusted no longer."),
}
_WARNINGS: Final = {
    MaintainerWarning.ALARM: N_("ALARM: two histories; its new endorsements do not count"),
    MaintainerWarning.AHEAD: N_("dated in the future: its new endorsements do not count"),
    MaintainerWarning.STALE: N_("not dated for 14 days: its new endorsements do not count"),
    MaintainerWarning.LATE: N_("not dated for 3 days"),
}
_VERDICTS: Final = {
    Verdict.VOUCHED: N_("vouched for"),
    Verdict.WAITING: N_("too few vouch for it yet"),
    Verdict.CONFLICT: N_("conflict: another institution has its domain"),
    Verdict.STOPPED: N_("stopped: revoked after a theft, or suspended"),
}


@dataclass(frozen=True, slots=True)
class TrustPages:
    """/staff/admin/trust"""

    desk: StaffDesk

    def routes(self) -> list[Route]:
        """Where what is found."""
        page, action = self.desk.page, self.desk.action
        return [
            page(ADMINISTRATOR, TRUST_PATH, self.show),
            action(ADMINISTRATOR, f"{TRUST_PATH}/add", self.add, token_in_body=True),
            action(ADMINISTRATOR, f"{TRUST_PATH}/import", self.carry, token_in_body=True),
            action(ADMINISTRATOR, f"{TRUST_PATH}/{{node}}/remove", self.remove),
        ]

    async def show(self, request: Request, visit: StaffVisit) -> Response:
        """Maintainers, for whom they vouch, what waits for people, what ends soon."""
        node, now_ms = self.desk.node, self.desk.node.world.now_ms()
        findings = await node.trust.findings()
        return self.desk.show(
            request,
            "staff/trust.html",
            visit,
            views=await maintainers(node),
            findings=[(finding, warned_days(finding, now_ms)) for finding in findings],
            threshold=node.trust.threshold,
            warnings=_WARNINGS,
            verdicts=_VERDICTS,
            done=_DONE.get(request.query_params.get("done", "")),
        )

    async def add(self, request: Request, visit: StaffVisit) -> Response:
        """Trust whoever made this file, if the digits are those that were read out."""
        form, data = await upload(request, visit, "file", most_bytes=_MAX_FEED_BYTES)
        if not data:
            raise ConfigError("no file was chosen", hint="made by: coffre maintainer publish DIR --out FILE")
        read = read_maintainer(data)
        check_digits(line(form, "digits"), read.feed.chain.node_id, what="file")
        await self.desk.node.trust.trust(read.feed)
        return self.desk.done(TRUST_PATH, "trusted")

    async def carry(self, request: Request, visit: StaffVisit) -> Response:
        """Take in a trusted maintainer's newer feed."""
        _, data = await upload(request, visit, "file", most_bytes=_MAX_FEED_BYTES)
        if not data:
            raise ConfigError("no file was chosen", hint="made by: coffre maintainer publish DIR --out FILE")
        is_new = await self.desk.node.trust.carry(data)
        await self.desk.node.trust.settle()
        await self.desk.note(visit, "maintainer's feed taken in" if is_new else "maintainer's feed held already")
        return self.desk.done(TRUST_PATH, "carried" if is_new else "nothing")

    async def remove(self, request: Request, visit: StaffVisit) -> Response:
        """Trust it no longer."""
        form, node, wanted, say = await request.form(), self.desk.node, node_of(request), self.desk.text
        found = await node.database.read(node.trust.maintainers.find, wanted.text)
        if not is_confirmed(form):
            return self.desk.confirm(
                request,
                visit,
                title=say(request, N_("Trust {name} no longer?"), name=found.entry.names[0]),
                points=[
                    say(request, N_("Institutions that were accepted on its word alone are accepted no longer.")),
                    say(request, N_("To undo this, add its file again.")),
                ],
                button=say(request, N_("Trust it no longer")),
                back=f"/staff{TRUST_PATH}",
            )
        await node.trust.distrust(wanted)
        return self.desk.done(TRUST_PATH, "distrusted")
