"""Whom the maintainer vouches for, and until when; renewing, suspending, revoking. Spec: spec/desks.md, 7."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.errors import ConfigError
from node.expiry import WARNED_DAYS
from node.maintainer.desk import Desk
from node.maintainer.overview import days_left, keys_warned_within, warned_within
from node.maintainer.task_file import MAX_DAYS, RenewTask, RevokeTask
from node.reports.rendering import N_
from node.web.staff.desk import MAINTAINER, StaffDesk, StaffVisit
from node.web.staff.forms import is_confirmed, line, node_of, number
from node.web.staff.maintainer_desk import MAINTAINER_PATH, MaintainerDoor, passphrase_in
from protocol.entry import Act, RevocationReason, Standing
from protocol.ids import NodeId
from protocol.statement import node_digits

__all__ = ["INSTITUTIONS_PATH", "InstitutionPages"]

INSTITUTIONS_PATH: Final = f"{MAINTAINER_PATH}/institutions"
_MAX_SUSPENDED_DAYS: Final = 14
_ACTS: Final = {
    Act.ENDORSE: N_("endorsed"),
    Act.REVOKE: N_("revoked"),
    Act.SUSPEND: N_("suspended"),
}
_REASONS: Final = {
    RevocationReason.LEFT: N_("it left the region, or closed"),
    RevocationReason.ERROR: N_("it was endorsed by mistake"),
    RevocationReason.COMPROMISED: N_("its keys were stolen: links end everywhere, also those agreed on by hand"),
}
_DONE: Final = {
    "published": N_("Signed, published, and handed to this node."),
    "published_alone": N_("Signed and published. This node does not trust the maintainer: hand the feed on as a file."),
}


@dataclass(frozen=True, slots=True)
class InstitutionPages:
    """/staff/maintainer/institutions"""

    desk: StaffDesk

    @property
    def door(self) -> MaintainerDoor:
        """To the maintainer's folder."""
        return MaintainerDoor(self.desk)

    def routes(self) -> list[Route]:
        """Where what is found."""
        page, action, one, opened = (
            self.desk.page,
            self.desk.action,
            f"{INSTITUTIONS_PATH}/{{node}}",
            self.door.opened,
        )
        return [
            page(MAINTAINER, INSTITUTIONS_PATH, opened(self.show)),
            action(MAINTAINER, f"{INSTITUTIONS_PATH}/renew", opened(self.renew)),
            page(MAINTAINER, one, opened(self.show_one)),
            action(MAINTAINER, f"{one}/revoke", opened(self.revoke)),
            action(MAINTAINER, f"{one}/suspend", opened(self.suspend)),
        ]

    async def show(self, request: Request, visit: StaffVisit, desk: Desk) -> Response:
        """All of them, those that end first on top."""
        now_ms = self.desk.node.world.now_ms()
        standings = sorted(desk.standings(), key=lambda item: (item.until_ms is None, item.until_ms or 0))
        lines = [(item, desk.about(item), warned_within(item, now_ms), days_left(item, now_ms)) for item in standings]
        within = {days: sum(line[2] == days for line in lines) for days in (0, *sorted(WARNED_DAYS))}
        return self.desk.show(
            request,
            "staff/maintainer_institutions.html",
            visit,
            lines=lines,
            within=within,
            keys_within=keys_warned_within(desk, now_ms),
            acts=_ACTS,
            most_days=MAX_DAYS,
            done=_DONE.get(request.query_params.get("done", "")),
            **self.door.keys_here,
        )

    async def renew(self, request: Request, visit: StaffVisit, desk: Desk) -> Response:
        """Prolong the endorsements that were chosen."""
        form = await request.form()
        chosen = [str(item) for item in form.getlist("node")]
        days = number(form, "days")
        if not chosen or not 1 <= days <= MAX_DAYS:
            raise ConfigError(f"choose whom, and for 1 to {MAX_DAYS} days")
        tasks = [RenewTask(desk.signed_standing(_node(text)), days) for text in chosen]
        if any(task.signed.standing.act is not Act.ENDORSE for task in tasks):
            raise ConfigError("only an endorsement can be prolonged", hint="endorse the others anew")
        return await self.door.settle(request, visit, desk, tasks, "renew", INSTITUTIONS_PATH)

    def _standing(self, request: Request, desk: Desk) -> Standing:
        return desk.signed_standing(node_of(request)).standing

    async def show_one(self, request: Request, visit: StaffVisit, desk: Desk) -> Response:
        """One of them, and what can be done."""
        standing = self._standing(request, desk)
        return self.desk.show(
            request,
            "staff/maintainer_institution.html",
            visit,
            standing=standing,
            about=desk.about(standing),
            name=desk.name(standing),
            digits=node_digits(standing.node),
            acts=_ACTS,
            reasons=_REASONS,
            most_days=_MAX_SUSPENDED_DAYS,
            **self.door.keys_here,
        )

    async def revoke(self, request: Request, visit: StaffVisit, desk: Desk) -> Response:
        """Take the endorsement back, after a page that asks."""
        form, standing, say = await request.form(), self._standing(request, desk), self.desk.text
        try:
            reason = RevocationReason(line(form, "reason"))
        except ValueError:
            raise ConfigError("choose why") from None
        if not is_confirmed(form):
            points = [
                say(request, N_("Why: {reason}."), reason=say(request, _REASONS[reason])),
                say(request, N_("Every node that trusts this maintainer ends its link with it.")),
                say(
                    request,
                    N_("It cannot be undone: a new endorsement, with the digits compared again, is the way back."),
                ),
            ]
            title = say(request, N_("Revoke {name}?"), name=desk.name(standing))
            return self._ask(request, visit, title, points, {"reason": reason.value}, say(request, N_("Revoke")))
        task = RevokeTask(standing.node, reason)
        return await self.door.settle(request, visit, desk, [task], "revoke", INSTITUTIONS_PATH)

    async def suspend(self, request: Request, visit: StaffVisit, desk: Desk) -> Response:
        """Stop it for some days, with the online keys, after a page that asks."""
        form, standing, say = await request.form(), self._standing(request, desk), self.desk.text
        days = number(form, "days")
        if not 1 <= days <= _MAX_SUSPENDED_DAYS:
            raise ConfigError(f"a suspension lasts 1 to {_MAX_SUSPENDED_DAYS} days")
        if not is_confirmed(form):
            points = [
                say(request, N_("For {days} days no node that trusts this maintainer takes letters of it."), days=days),
                say(request, N_("A new endorsement ends it earlier.")),
            ]
            title = say(request, N_("Suspend {name}?"), name=desk.name(standing))
            fields = {"days": str(days)}
            return self._ask(request, visit, title, points, fields, say(request, N_("Suspend")), with_task=False)
        keys = await self.door.online(desk, passphrase_in(form))
        entry = desk.suspend(standing.node, keys, days=days)
        await self.desk.note(visit, f"maintainer: suspend {standing.node.text[:16]}")
        return self.desk.done(INSTITUTIONS_PATH, await self.door.publish(visit, desk, [entry], keys))

    def _ask(
        self,
        request: Request,
        visit: StaffVisit,
        title: str,
        points: list[str],
        fields: dict[str, str],
        button: str,
        *,
        with_task: bool = True,
    ) -> Response:
        values: dict[str, Any] = {"title": title, "points": points, "fields": fields, "button": button}
        here = self.door.keys_here
        return self.desk.show(
            request,
            "staff/maintainer_confirm.html",
            visit,
            action=request.url.path,
            back=request.url.path.rpartition("/")[0],
            with_task=with_task,
            sign_here=here["online_here"] and (here["offline_here"] or not with_task),
            **values,
        )


def _node(text: str) -> NodeId:
    try:
        return NodeId(bytes.fromhex(text))
    except ValueError:
        raise ConfigError("this names no institution") from None
