"""Accounts of the staff: who there is, what they may do, giving passwords. Spec: spec/staff.md, 6.15."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.errors import NotFoundError
from node.reports.rendering import N_
from node.staff.account import StaffAccount, StaffRole
from node.vault import ways
from node.web.staff.desk import ADMINISTRATOR, StaffDesk, StaffVisit
from node.web.staff.forms import is_confirmed, line, raw_id
from protocol.crypto import Secret
from protocol.ids import StaffId

__all__ = ["STAFF_ACCOUNTS_PATH", "StaffAccountPages"]

STAFF_ACCOUNTS_PATH: Final = "/admin/staff"
_ROLES: Final = {
    StaffRole.ADMINISTRATOR: N_("administrator"),
    StaffRole.MAINTAINER: N_("maintainer"),
    StaffRole.AUDITOR: N_("auditor"),
}
_DONE: Final = {
    "added": N_("The account was made."),
    "roles": N_("The roles were changed, and the account was logged out."),
    "password": N_("The account has a new first password, and was logged out."),
    "factors": N_("The second factors were removed: the next log-in sets up another."),
    "removed": N_("The account was removed."),
}


@dataclass(frozen=True, slots=True)
class StaffAccountPages:
    """/staff/admin/staff"""

    desk: StaffDesk

    def routes(self) -> list[Route]:
        """Where what is found."""
        page, action, one = self.desk.page, self.desk.action, f"{STAFF_ACCOUNTS_PATH}/{{account}}"
        return [
            page(ADMINISTRATOR, STAFF_ACCOUNTS_PATH, self.show),
            action(ADMINISTRATOR, STAFF_ACCOUNTS_PATH, self.add),
            action(ADMINISTRATOR, f"{one}/roles", self.set_roles),
            action(ADMINISTRATOR, f"{one}/password", self.give_password),
            action(ADMINISTRATOR, f"{one}/factors", self.reset_factors),
            action(ADMINISTRATOR, f"{one}/remove", self.remove),
        ]

    async def show(self, request: Request, visit: StaffVisit) -> Response:
        """All accounts."""
        staff = self.desk.node.staff
        accounts = await staff.all()
        ids = [account.id for account in accounts]
        return self.desk.show(
            request,
            "staff/accounts.html",
            visit,
            accounts=accounts,
            factors=await self.desk.node.database.read(staff.second_factors.rows.of_all, ids),
            roles=_ROLES,
            done=_DONE.get(request.query_params.get("done", "")),
        )

    async def _account(self, request: Request) -> StaffAccount:
        found = await self.desk.node.staff.get(StaffId(raw_id(request, "account")))
        if found is None:
            raise NotFoundError("there is no such staff account")
        return found

    def _drawn(self) -> str:
        return ways.draw_first_password(self.desk.node.world.random_bytes).reveal().decode()

    async def add(self, request: Request, visit: StaffVisit) -> Response:
        """First show the first password, then make the account."""
        form, say = await request.form(), self.desk.text
        name, roles = line(form, "name"), _chosen(form)
        await self.desk.node.staff.check_new(name, frozenset(roles))
        if not is_confirmed(form):
            drawn = self._drawn()
            return self.desk.confirm(
                request,
                visit,
                title=say(request, N_("Make an account for {name}?"), name=name),
                points=[
                    say(request, N_("Roles: {roles}"), roles=", ".join(say(request, _ROLES[role]) for role in roles)),
                    say(request, N_("The first log-in asks for another password, and sets up a second factor.")),
                ],
                button=say(request, N_("Make the account")),
                back=f"/staff{STAFF_ACCOUNTS_PATH}",
                fields={"name": name, "first_password": drawn, **{role.value: "yes" for role in roles}},
                secret=drawn,
            )
        made = await self.desk.node.staff.add(name, frozenset(roles), Secret(line(form, "first_password").encode()))
        await self._note(visit, "made", made)
        return self.desk.done(STAFF_ACCOUNTS_PATH, "added")

    async def _note(self, visit: StaffVisit, what: str, account: StaffAccount) -> None:
        """The leaf of the change names the account that it is about; here is who did it."""
        await self.desk.note(visit, f"account {what}: {account.id.text}")

    async def set_roles(self, request: Request, visit: StaffVisit) -> Response:
        """Other roles; it is logged out."""
        form, account = await request.form(), await self._account(request)
        await self.desk.node.staff.set_roles(account.id, frozenset(_chosen(form)))
        await self._note(visit, "roles changed", account)
        return self.desk.done(STAFF_ACCOUNTS_PATH, "roles")

    async def give_password(self, request: Request, visit: StaffVisit) -> Response:
        """A new first password, for who forgot it or is locked out."""
        form, account, say = await request.form(), await self._account(request), self.desk.text
        if not is_confirmed(form):
            drawn = self._drawn()
            return self.desk.confirm(
                request,
                visit,
                title=say(request, N_("Give {name} a new first password?"), name=account.name),
                points=[
                    say(request, N_("The present one opens nothing any more, and the account is logged out.")),
                    say(request, N_("Its second factor stays.")),
                ],
                button=say(request, N_("Give the new password")),
                back=f"/staff{STAFF_ACCOUNTS_PATH}",
                fields={"first_password": drawn},
                secret=drawn,
            )
        await self.desk.node.staff.give_password(account.id, Secret(line(form, "first_password").encode()))
        await self._note(visit, "password given", account)
        return self.desk.done(STAFF_ACCOUNTS_PATH, "password")

    async def reset_factors(self, request: Request, visit: StaffVisit) -> Response:
        """For who lost telephone, key and recovery codes."""
        form, account, say = await request.form(), await self._account(request), self.desk.text
        if not is_confirmed(form):
            return self.desk.confirm(
                request,
                visit,
                title=say(request, N_("Remove the second factors of {name}?"), name=account.name),
                points=[say(request, N_("Whoever knows its password sets up the next one: be sure who asks."))],
                button=say(request, N_("Remove the second factors")),
                back=f"/staff{STAFF_ACCOUNTS_PATH}",
            )
        await self.desk.node.staff.reset_factors(account.id)
        await self._note(visit, "factors reset", account)
        return self.desk.done(STAFF_ACCOUNTS_PATH, "factors")

    async def remove(self, request: Request, visit: StaffVisit) -> Response:
        """Remove an account; what it did stays on record."""
        form, account, say = await request.form(), await self._account(request), self.desk.text
        await self.desk.node.staff.check_removal(account)
        if not is_confirmed(form):
            return self.desk.confirm(
                request,
                visit,
                title=say(request, N_("Remove the account {name}?"), name=account.name),
                points=[
                    say(request, N_("It is logged out at once. What it did stays on record, under its id.")),
                    say(request, N_("Note the id if it may be asked for later: {id}"), id=account.id.text),
                ],
                button=say(request, N_("Remove the account")),
                back=f"/staff{STAFF_ACCOUNTS_PATH}",
            )
        await self.desk.node.staff.remove(account.id)
        await self._note(visit, "removed", account)
        return self.desk.done(STAFF_ACCOUNTS_PATH, "removed")


def _chosen(form: FormData) -> list[StaffRole]:
    """The roles whose boxes are ticked."""
    return [role for role in StaffRole if form.get(role.value) == "yes"]
