"""Mailboxes and roles: the list, making one, what the directory says of it, closing. Spec: spec/staff.md, 6.1."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.errors import CoffreError, ConfigError, NotFoundError
from node.reports.rendering import N_
from node.sizes import parse_size
from node.vault import ways
from node.vault.alert_preferences import AlertPreferences, check_preferences
from node.vault.mailbox_rows import EntryUpdate, Mailbox
from node.vault.mailboxes import NewMailbox
from node.web.staff.desk import ADMINISTRATOR, StaffDesk, StaffVisit
from node.web.staff.forms import is_confirmed, line, raw_id
from protocol.crypto import Secret
from protocol.entry import MailboxEntry, MailboxKind
from protocol.errors import LocalProtocolError
from protocol.ids import MailboxId
from protocol.letter import normalise_address

__all__ = ["KINDS", "MAILBOX_PATH", "MailboxPages", "mailbox_of"]

MAILBOX_PATH: Final = "/admin/mailboxes"
_PAGE: Final = 100
KINDS: Final = {
    MailboxKind.PERSON: N_("person"),
    MailboxKind.SERVICE: N_("service"),
    MailboxKind.PRACTICE: N_("practice"),
    MailboxKind.APPLICATION: N_("application"),
}
_FIELDS: Final = ("name", "profession", "specialty", "unit", "town")
_DONE: Final = {
    "made": N_("The mailbox is open."),
    "edited": N_("The directory says so now."),
    "quota": N_("The quota was set."),
    "closed": N_("The mailbox is closed: letters to it are refused."),
    "moved": N_("Senders are told to write to the new address."),
    "recovered": N_("The mailbox has a new first password; the recovery is on record."),
    "reset": N_("The mailbox has new keys and a new first password; senders are told for 30 days."),
    "factors": N_("The second factors were removed."),
    "member": N_("The membership ended."),
    "deputy": N_("The delegation ended."),
    "days": N_("How long letters are kept was set."),
}


async def mailbox_of(desk: StaffDesk, request: Request) -> Mailbox:
    """The mailbox that the path names. NotFoundError."""
    wanted = raw_id(request, "mailbox")
    for mailbox in await desk.node.mailboxes.all():
        if mailbox.id == wanted:
            return mailbox
    raise NotFoundError("there is no such mailbox")


@dataclass(frozen=True, slots=True)
class MailboxPages:
    """/staff/admin/mailboxes"""

    desk: StaffDesk

    def routes(self) -> list[Route]:
        """Where what is found."""
        page, action, one = self.desk.page, self.desk.action, f"{MAILBOX_PATH}/{{mailbox}}"
        return [
            page(ADMINISTRATOR, MAILBOX_PATH, self.show),
            page(ADMINISTRATOR, f"{MAILBOX_PATH}/new", self.show_new),
            action(ADMINISTRATOR, f"{MAILBOX_PATH}/new", self.make),
            page(ADMINISTRATOR, one, self.show_one),
            action(ADMINISTRATOR, f"{one}/edit", self.edit),
            action(ADMINISTRATOR, f"{one}/quota", self.set_quota),
            action(ADMINISTRATOR, f"{one}/close", self.close),
            action(ADMINISTRATOR, f"{one}/factors", self.remove_factors),
            action(ADMINISTRATOR, f"{one}/share/{{kind}}", self.end_share),
        ]

    # -- the list

    async def show(self, request: Request, visit: StaffVisit) -> Response:
        """All mailboxes, or those whose address has these letters in it; a hundred a page."""
        node = self.desk.node
        wanted = request.query_params.get("q", "")[:100].strip().lower()
        start = request.query_params.get("from", "0")
        begin = int(start) if start.isascii() and start.isdigit() and len(start) < 8 else 0
        every = await node.mailboxes.all()
        found = [mailbox for mailbox in every if wanted in mailbox.address]
        shown = found[begin : begin + _PAGE]
        factors = await node.database.read(node.second_factors.rows.of_all, [mailbox.id for mailbox in shown])
        return self.desk.show(
            request,
            "staff/mailboxes.html",
            visit,
            mailboxes=shown,
            factors=factors,
            total=len(every),
            count=len(found),
            wanted=wanted,
            begin=begin,
            following=begin + _PAGE if len(found) > begin + _PAGE else 0,
        )

    # -- a new one

    async def show_new(self, request: Request, visit: StaffVisit) -> Response:
        """The form."""
        return self._form(request, visit, {})

    def _form(
        self, request: Request, visit: StaffVisit, given: dict[str, str], error: CoffreError | None = None
    ) -> Response:
        quota = self.desk.node.settings.limits.mailbox_quota_bytes
        blank = dict.fromkeys((*_FIELDS, "address", "email", "quota"), "") | {"kind": "person"}
        return self.desk.show(
            request,
            "staff/mailbox_new.html",
            visit,
            status=200 if error is None else 422,
            form=blank | given,
            quota_bytes=quota,
            kinds=KINDS,
            domain=self.desk.node.settings.domain,
            error=error,
        )

    async def make(self, request: Request, visit: StaffVisit) -> Response:
        """First show what will be made, with its first password; then make it.

        The password is shown before the mailbox is there: were the last answer lost on its way, nobody could open it.
        """
        form, node = await request.form(), self.desk.node
        given = {name: line(form, name) for name in (*_FIELDS, "address", "email", "kind", "quota")}
        try:
            new, alerts = self._prepared(form)
            if any(mailbox.address == new.entry.address for mailbox in await node.mailboxes.all()):
                raise ConfigError(f"{new.entry.address} is there already")
        except CoffreError as error:
            return self._form(request, visit, given, error)
        address = new.entry.address
        if not is_confirmed(form):
            password = ways.draw_first_password(node.world.random_bytes).reveal().decode()
            text = self.desk.text
            return self.desk.confirm(
                request,
                visit,
                title=text(request, N_("Make {address}?"), address=address),
                points=[
                    text(request, N_("The directory shows it to all institutions: {name}."), name=new.entry.name),
                    text(request, N_("An address that was given is never given again.")),
                    text(request, N_("The first log-in asks for another password.")),
                ],
                button=text(request, N_("Make the mailbox")),
                back=f"/staff{MAILBOX_PATH}/new",
                fields={**given, "first_password": password},
                secret=password,
            )
        first = Secret(line(form, "first_password").encode())
        if len(first.reveal()) < ways.MIN_PASSWORD_CHARACTERS:
            raise ConfigError("the first password is missing", hint="begin again")
        (made,) = await node.mailboxes.create_first([(new, first)])
        if isinstance(made, Exception):
            raise made
        if alerts.email:
            await node.database.write(node.alerts.set_preferences, (made.id, alerts))
        return self.desk.done(f"{MAILBOX_PATH}/{made.id.hex()}", "made")

    def _prepared(self, form: FormData) -> tuple[NewMailbox, AlertPreferences]:
        node = self.desk.node
        typed, domain = line(form, "address"), node.settings.domain
        try:
            address = normalise_address(typed if "@" in typed else f"{typed}@{domain}")
            kind = MailboxKind(line(form, "kind"))
        except ValueError as error:
            raise ConfigError(str(error)) from None
        if not address.endswith(f"@{domain}"):
            raise ConfigError(f"{address} is not of this node's domain, {domain}")
        new = node.mailboxes.prepare(
            address=address,
            name=line(form, "name") or address.partition("@")[0],
            quota_bytes=parse_size(line(form, "quota")) or -1,
            kind=kind,
            profession=line(form, "profession"),
            specialty=line(form, "specialty"),
            unit=line(form, "unit"),
            town=line(form, "town"),
        )
        return new, check_preferences(AlertPreferences(email=line(form, "email")))

    # -- one

    async def show_one(self, request: Request, visit: StaffVisit) -> Response:
        """All that an administrator may know of a mailbox: nothing of its letters but how much room they take."""
        node, mailbox = self.desk.node, await mailbox_of(self.desk, request)
        entry = await node.database.read(node.directory.own_mailbox, mailbox.id)
        sharing, address = node.sharing, mailbox.address
        accepted = await node.charters.acceptances([mailbox.id]) if node.charters.exists else None
        return self.desk.show(
            request,
            "staff/mailbox.html",
            visit,
            mailbox=mailbox,
            entry=entry,
            kinds=KINDS,
            done=_DONE.get(request.query_params.get("done", "")),
            factors=await node.second_factors.of_account(mailbox.id),
            members=await sharing.members(address),
            deputies=await sharing.delegations(address),
            held=await sharing.held_by(address),
            policy=await node.database.read(node.policies.of, mailbox.id),
            first_password=await node.mailboxes.has_first_password(mailbox.id),
            charter_at_ms=None if accepted is None else accepted.get(mailbox.id, 0),
        )

    async def edit(self, request: Request, visit: StaffVisit) -> Response:
        """What the directory says of it. Can be undone by changing it back."""
        del visit
        form, mailbox = await request.form(), await mailbox_of(self.desk, request)
        fields = {name: line(form, name) for name in _FIELDS}
        listed = form.get("listed") == "yes"

        def update(entry: MailboxEntry) -> MailboxEntry:
            changed = replace(
                entry,
                name=fields["name"] or entry.name,
                profession=fields["profession"],
                specialty=fields["specialty"],
                unit=fields["unit"],
                town=fields["town"],
                listed=listed,
            )
            try:
                changed.encode()
            except LocalProtocolError as error:
                raise ConfigError(f"{entry.address}: {error}") from None
            return changed

        (result,) = await self.desk.node.mailboxes.update([EntryUpdate(mailbox.id, update)])
        if isinstance(result, Exception):
            raise result
        return self._done(mailbox.id, "edited")

    def _done(self, mailbox: MailboxId, code: str) -> Response:
        return self.desk.done(f"{MAILBOX_PATH}/{mailbox.hex()}", code)

    async def set_quota(self, request: Request, visit: StaffVisit) -> Response:
        """How much it may hold."""
        del visit
        form, mailbox = await request.form(), await mailbox_of(self.desk, request)
        await self.desk.node.mailboxes.set_quota(mailbox.id, parse_size(line(form, "quota")))
        return self._done(mailbox.id, "quota")

    async def close(self, request: Request, visit: StaffVisit) -> Response:
        """Close it, with or without an address to write to instead; or give a closed one such an address."""
        form, mailbox = await request.form(), await mailbox_of(self.desk, request)
        typed, text = line(form, "moved_to"), self.desk.text
        try:
            moved_to = normalise_address(typed) if typed else ""
        except ValueError as error:
            raise ConfigError(str(error)) from None
        if not is_confirmed(form) and mailbox.status == "open":
            points = [
                text(request, N_("Letters to it are refused from now on; those that it holds stay.")),
                text(request, N_("Nobody acts for it any more, nor it for others. Its sessions end.")),
                text(request, N_("A closed mailbox cannot be opened again, and its address is not given again.")),
            ]
            if moved_to:
                points.append(text(request, N_("Senders are told to write to {address}."), address=moved_to))
            return self.desk.confirm(
                request,
                visit,
                title=text(request, N_("Close {address}?"), address=mailbox.address),
                points=points,
                button=text(request, N_("Close the mailbox")),
                back=f"/staff{MAILBOX_PATH}/{mailbox.id.hex()}",
                fields={"moved_to": moved_to},
            )
        await self.desk.node.mailboxes.close(mailbox.address, moved_to=moved_to)
        return self._done(mailbox.id, "closed" if mailbox.status == "open" else "moved")

    async def remove_factors(self, request: Request, visit: StaffVisit) -> Response:
        """All second factors, for an owner who lost them."""
        form, mailbox, text = await request.form(), await mailbox_of(self.desk, request), self.desk.text
        if not is_confirmed(form):
            return self.desk.confirm(
                request,
                visit,
                title=text(request, N_("Remove the second factors of {address}?"), address=mailbox.address),
                points=[
                    text(request, N_("Its password alone opens it then: be sure that it is the owner who asks.")),
                    text(request, N_("This is on record, with your account.")),
                ],
                button=text(request, N_("Remove the second factors")),
                back=f"/staff{MAILBOX_PATH}/{mailbox.id.hex()}",
            )
        await self.desk.node.second_factors.remove(mailbox.id, None, by="administrator")
        return self._done(mailbox.id, "factors")

    async def end_share(self, request: Request, visit: StaffVisit) -> Response:
        """End a membership of a service, or a delegation, at once."""
        form, mailbox, text = await request.form(), await mailbox_of(self.desk, request), self.desk.text
        kind, holder = request.path_params["kind"], line(form, "holder")
        if kind not in ("member", "deputy"):
            raise NotFoundError("there is nothing under this address")
        if not is_confirmed(form):
            title = N_("End that {holder} acts for {address}?")
            return self.desk.confirm(
                request,
                visit,
                title=text(request, title, holder=holder, address=mailbox.address),
                points=[
                    text(request, N_("It ends at once. The mailbox gets new keys when it is next opened.")),
                    text(request, N_("It can be given again by the mailbox's own people alone.")),
                ],
                button=text(request, N_("End it")),
                back=f"/staff{MAILBOX_PATH}/{mailbox.id.hex()}",
                fields={"holder": holder},
            )
        sharing = self.desk.node.sharing
        await (sharing.remove_member if kind == "member" else sharing.revoke)(mailbox.address, holder)
        return self._done(mailbox.id, kind)
