"""How long letters are kept, how much mailboxes may hold, and legal holds. Spec: spec/staff.md, 6.9."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.errors import ConfigError
from node.reports.rendering import N_
from node.retention.holds import FOREVER_MS, NewHold, check_reason
from node.retention.policy import KeepDays
from node.web.staff.admin_mailboxes import MAILBOX_PATH, mailbox_of
from node.web.staff.desk import ADMINISTRATOR, StaffDesk, StaffVisit
from node.web.staff.forms import is_confirmed, line, raw_id
from protocol.letter import normalise_address

__all__ = ["RETENTION_PATH", "RetentionPages"]

RETENTION_PATH: Final = "/admin/retention"
_MAX_DAYS: Final = 36_500
_DONE: Final = {
    "held": N_("The hold is on, on record."),
    "freed": N_("The hold is off, on record."),
}


@dataclass(frozen=True, slots=True)
class RetentionPages:
    """/staff/admin/retention"""

    desk: StaffDesk

    def routes(self) -> list[Route]:
        """Where what is found."""
        page, action = self.desk.page, self.desk.action
        return [
            page(ADMINISTRATOR, RETENTION_PATH, self.show),
            action(ADMINISTRATOR, f"{MAILBOX_PATH}/{{mailbox}}/days", self.set_days),
            action(ADMINISTRATOR, f"{RETENTION_PATH}/holds", self.add_hold),
            action(ADMINISTRATOR, f"{RETENTION_PATH}/holds/{{hold}}/remove", self.remove_hold),
        ]

    async def show(self, request: Request, visit: StaffVisit) -> Response:
        """What holds by default, for each mailbox, and what is on hold."""
        node = self.desk.node
        mailboxes = {item.id: item for item in await node.mailboxes.all()}
        return self.desk.show(
            request,
            "staff/retention.html",
            visit,
            settings=node.policies.settings,
            overview=await node.retention.overview(),
            mailboxes=mailboxes,
            holds=await node.database.read(node.holds.all),
            forever_ms=FOREVER_MS,
            done=_DONE.get(request.query_params.get("done", "")),
        )

    async def set_days(self, request: Request, visit: StaffVisit) -> Response:
        """How long one mailbox keeps its letters; a shorter time erases what is older, so it is asked about."""
        form, node, mailbox, say = (
            await request.form(),
            self.desk.node,
            await mailbox_of(self.desk, request),
            self.desk.text,
        )
        keep = KeepDays(received=_days(form, "received"), sent=_days(form, "sent"), trash=_days(form, "trash"))
        if not is_confirmed(form):
            fields = {name: line(form, name) for name in ("received", "sent", "trash")}
            return self.desk.confirm(
                request,
                visit,
                title=say(request, N_("Change how long {address} keeps letters?"), address=mailbox.address),
                points=[
                    say(request, N_("Letters older than that are erased within the hour, for ever.")),
                    say(request, N_("Unread ones are warned of first; what is on hold stays.")),
                ],
                button=say(request, N_("Change it")),
                back=f"/staff{MAILBOX_PATH}/{mailbox.id.hex()}",
                fields=fields,
            )
        await node.database.write(node.policies.set, (mailbox.id, keep))
        return self.desk.done(f"{MAILBOX_PATH}/{mailbox.id.hex()}", "days")

    async def add_hold(self, request: Request, visit: StaffVisit) -> Response:
        """Keep letters whatever else says: of a mailbox, a period, both, or all."""
        del visit
        form, node = await request.form(), self.desk.node
        typed, since, until = line(form, "mailbox"), line(form, "since"), line(form, "until")
        if not (typed or since or until or form.get("all") == "yes"):
            raise ConfigError("a hold needs a mailbox, a period, or the box for all letters")
        mailbox = None
        if typed:
            try:
                address = normalise_address(typed if "@" in typed else f"{typed}@{node.settings.domain}")
            except ValueError as error:
                raise ConfigError(str(error)) from None
            mailbox = (await node.mailboxes.find(address)).id
        hold = NewHold(
            reason=line(form, "reason"),
            mailbox=mailbox,
            from_ms=self._day_ms(since) if since else 0,
            until_ms=self._day_ms(until, days_later=1) if until else FOREVER_MS,
        )
        await node.database.write(node.holds.add, hold)
        return self.desk.done(RETENTION_PATH, "held")

    def _day_ms(self, text: str, *, days_later: int = 0) -> int:
        """The beginning of a day, in the time zone of the pages."""
        try:
            day = date.fromisoformat(text) + timedelta(days=days_later)
        except (ValueError, OverflowError):
            raise ConfigError(f"{text!r} is not a day", hint="for example 2026-08-31") from None
        zone = ZoneInfo(self.desk.node.settings.web.timezone)
        return int(datetime.combine(day, time(), zone).timestamp() * 1000)

    async def remove_hold(self, request: Request, visit: StaffVisit) -> Response:
        """End a hold: what it alone kept goes as if it had never been."""
        form, node, hold, say = await request.form(), self.desk.node, raw_id(request, "hold").hex(), self.desk.text
        reason = line(form, "reason")
        check_reason(reason)
        if not is_confirmed(form):
            return self.desk.confirm(
                request,
                visit,
                title=say(request, N_("End this hold?")),
                points=[
                    say(request, N_("What it alone kept is erased when its time is over, which may be at once.")),
                    say(request, N_("The reason is put on record: {reason}"), reason=reason),
                ],
                button=say(request, N_("End the hold")),
                back=f"/staff{RETENTION_PATH}",
                fields={"reason": reason},
            )
        await node.database.write(node.holds.remove, (hold, reason))
        return self.desk.done(RETENTION_PATH, "freed")


def _days(form: FormData, name: str) -> int | None:
    """Days of a field; None for an empty one: as the settings say."""
    value = line(form, name, 10)
    if not value:
        return None
    if not value.isascii() or not value.isdigit() or int(value) > _MAX_DAYS:
        raise ConfigError(f"a number of days up to {_MAX_DAYS}, 0 for ever, or nothing; not {value!r}")
    return int(value)
