"""The first page of the staff: what one's roles allow. Spec: spec/staff.md, 4."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.web.pages.form_desk import see_other
from node.web.staff.desk import ANY_ROLE, StaffDesk, StaffVisit

__all__ = ["StaffHome"]


@dataclass(frozen=True, slots=True)
class StaffHome:
    """/staff/"""

    desk: StaffDesk

    def routes(self) -> list[Route]:
        """Where what is found."""
        return [self.desk.page(ANY_ROLE, "/", self.show)]

    async def show(self, request: Request, visit: StaffVisit) -> Response:
        """All pages of one's roles, with what each is for."""
        return self.desk.show(request, "staff/home.html", visit)


async def to_home(request: Request) -> Response:
    """/staff, as people type it."""
    del request
    return see_other("/staff/")
