"""What waits to be forwarded, why, until when; trying again, giving up. Spec: spec/staff.md, 6.7."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.post.waiting import find_waiting, give_up, list_waiting, retry_now
from node.reports.rendering import N_
from node.web.staff.desk import ADMINISTRATOR, StaffDesk, StaffVisit
from node.web.staff.forms import is_confirmed, raw_id

__all__ = ["OUTBOX_PATH", "OutboxPages"]

OUTBOX_PATH: Final = "/admin/outbox"
_SHOWN: Final = 200
_DONE: Final = {
    "retried": N_("They are tried again now."),
    "given_up": N_("The letter is forwarded no more; its sender is told."),
}
_STATES: Final = {
    "waiting": N_("waits"),
    "withdrawing": N_("being withdrawn"),
    "set_aside": N_("set aside"),
}
# What node/post/waiting.py says; what a peer's node answered stands as it came.
_REASONS: Final = {
    "set aside after three crashes while it was handled": N_("set aside after three crashes while it was handled"),
    "being withdrawn": N_("being withdrawn"),
    "waits for this node to run": N_("waits for this node to run"),
    "its institution is no longer accepted": N_("its institution is no longer accepted"),
    "its node was not reached": N_("its node was not reached"),
    "waits for its node to call": N_("waits for its node to call"),
    "not yet confirmed by its node": N_("not yet confirmed by its node"),
}


@dataclass(frozen=True, slots=True)
class OutboxPages:
    """/staff/admin/outbox"""

    desk: StaffDesk

    def routes(self) -> list[Route]:
        """Where what is found."""
        page, action = self.desk.page, self.desk.action
        return [
            page(ADMINISTRATOR, OUTBOX_PATH, self.show),
            action(ADMINISTRATOR, f"{OUTBOX_PATH}/retry", self.retry),
            action(ADMINISTRATOR, f"{OUTBOX_PATH}/{{row}}/retry", self.retry),
            action(ADMINISTRATOR, f"{OUTBOX_PATH}/{{row}}/give-up", self.give_up),
        ]

    async def show(self, request: Request, visit: StaffVisit) -> Response:
        """All that waits, the oldest first. Nothing of a letter but where it goes, and its class."""
        node = self.desk.node
        found = await list_waiting(node.database, node.outbox, node.peers, node.node_id)
        return self.desk.show(
            request,
            "staff/outbox.html",
            visit,
            letters=found[:_SHOWN],
            count=len(found),
            states=_STATES,
            reasons=_REASONS,
            done=_DONE.get(request.query_params.get("done", "")),
        )

    async def retry(self, request: Request, visit: StaffVisit) -> Response:
        """Try one letter, or all, again now."""
        del visit
        node = self.desk.node
        row = raw_id(request, "row").hex() if "row" in request.path_params else None
        await retry_now(node.database, node.outbox, node.peers, row)
        return self.desk.done(OUTBOX_PATH, "retried")

    async def give_up(self, request: Request, visit: StaffVisit) -> Response:
        """Forward a letter no more."""
        form, node, row, say = await request.form(), self.desk.node, raw_id(request, "row"), self.desk.text
        found = await find_waiting(node.database, node.outbox, node.peers, row.hex())
        place = say(request, N_("this node")) if found.institution == "this node" else found.institution
        if not is_confirmed(form):
            return self.desk.confirm(
                request,
                visit,
                title=say(request, N_("Forward this letter to {institution} no more?"), institution=place),
                points=[
                    say(request, N_("Its sender is told that it was refused, and can send it again or otherwise.")),
                    say(request, N_("If it arrived already and only the answer is missing, the answer still counts.")),
                    say(request, N_("This cannot be undone, and stands in the letter's evidence.")),
                ],
                button=say(request, N_("Give the letter up")),
                back=f"/staff{OUTBOX_PATH}",
            )
        await give_up(node.database, node.outbox, node.result_writer(), found.row)
        await self.desk.note(visit, "letter given up")
        return self.desk.done(OUTBOX_PATH, "given_up")
