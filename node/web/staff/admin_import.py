"""Mailboxes from a list: what it would change, first passwords to keep, then doing it. Spec: spec/staff.md, 6.3.

The list travels in the form that confirms it, so that what is done is what was looked at, and nothing of it lies on the
node's disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from directory_sync.lists.addresses import DEFAULT_FORM, AddressForm
from directory_sync.lists.columns import COLUMNS, MAILBOX_FIELDS
from directory_sync.lists.listed import BadRow, ListError
from directory_sync.lists.matching import Held
from directory_sync.lists.tables import table_line
from node.errors import CoffreError, ConfigError
from node.lists.files import FORMATS, ListFile
from node.lists.importing import Change, Importer, New, Plan, Step
from node.lists.source import ENCODINGS
from node.reports.rendering import N_
from node.vault import ways
from node.web.staff.desk import ADMINISTRATOR, StaffDesk, StaffVisit
from node.web.staff.forms import is_confirmed, line, text, upload_named
from node.web.staff.list_forms import MAX_MAP, source_options
from protocol.crypto import Secret, hkdf_expand
from protocol.entry import MailboxEntry
from protocol.labels import Label

__all__ = ["IMPORT_PATH", "MAX_LIST_BYTES", "ImportPages"]

IMPORT_PATH: Final = "/admin/import"
MAX_LIST_BYTES: Final = 2 * 1024 * 1024
"""Some ten thousand people; larger lists go by the command line, which reads them piece by piece."""
_SEED_BYTES: Final = 32
_SHOWN: Final = 500
_FIELDS: Final = {
    "name": N_("Name"),
    "kind": N_("Kind"),
    "profession": N_("Profession"),
    "specialty": N_("Specialty"),
    "unit": N_("Ward or department"),
    "town": N_("Town"),
    "purpose": N_("Preferred for"),
    "languages": N_("Languages"),
    "identifiers": N_("Identifiers"),
    "max_bytes": N_("Largest letter, in bytes"),
    "classes": N_("Classes of letters taken"),
    "types": N_("Types of documents taken"),
    "listed": N_("Shown in the directory"),
}
_OPTIONS: Final = ("name", "format", "encoding", "delimiter", "address_form", "structures", "close_missing")
_ASK_STRUCTURES: Final = N_("name this institution's FINESS or SIRET number")
_EMPTY: Final = FormData()


@dataclass(slots=True)
class _Seen:
    """What a list would do, as far as a page shows it."""

    plan: Plan = field(default_factory=Plan)
    new: list[New] = field(default_factory=list)
    changed: list[Change] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)

    def add(self, step: Step) -> None:
        """Keep a step."""
        if isinstance(step, New):
            self.new.append(step)
        elif isinstance(step, Change):
            self.changed.append(step)
        elif isinstance(step, BadRow):
            self.bad.append(step)


class _Kept:
    """First passwords were shown before: the administrator has them."""

    def add(self, made: Sequence[tuple[MailboxEntry, Secret]]) -> None:
        """Nothing more to keep."""


@dataclass(frozen=True, slots=True)
class ImportPages:
    """/staff/admin/import"""

    desk: StaffDesk

    def routes(self) -> list[Route]:
        """Where what is found."""
        page, action = self.desk.page, self.desk.action
        return [
            page(ADMINISTRATOR, IMPORT_PATH, self.show),
            action(ADMINISTRATOR, IMPORT_PATH, self.look, token_in_body=True),
            action(ADMINISTRATOR, f"{IMPORT_PATH}/passwords", self.passwords),
            action(ADMINISTRATOR, f"{IMPORT_PATH}/do", self.do),
        ]

    async def show(self, request: Request, visit: StaffVisit) -> Response:
        """The form."""
        return self._form(request, visit)

    def _form(
        self, request: Request, visit: StaffVisit, error: CoffreError | None = None, form: FormData = _EMPTY
    ) -> Response:
        """The form, with what was chosen before."""
        return self.desk.show(
            request,
            "staff/import.html",
            visit,
            status=200 if error is None else 422,
            formats=FORMATS,
            encodings=ENCODINGS,
            most_bytes=MAX_LIST_BYTES,
            chosen={name: line(form, name) for name in _OPTIONS},
            columns=text(form, "map", MAX_MAP),
            fields=COLUMNS,
            default_form=DEFAULT_FORM,
            error=error,
        )

    async def look(self, request: Request, visit: StaffVisit) -> Response:
        """What the list would change. Nothing is changed."""
        form, data, name = await upload_named(request, visit, "file", most_bytes=MAX_LIST_BYTES)
        try:
            if not data:
                raise ConfigError("no list was chosen")
            encoding = line(form, "encoding")
            content = data.decode(encoding if encoding in ENCODINGS else "utf-8")
            # From here on it is text of this page.
            given = FormData({**form, "encoding": "utf-8", "name": name, "content": content})
            seed = self.desk.node.world.random_bytes(_SEED_BYTES).hex()
            seen = await _seen(self._importer(given, seed))
        except UnicodeDecodeError:
            error = ConfigError("the list is in another encoding", hint="try cp1252")
            return self._form(request, visit, error, form)
        except CoffreError as error:
            return self._form(request, visit, error, form)
        return self.desk.show(
            request,
            "staff/import_plan.html",
            visit,
            seen=seen,
            shown=_SHOWN,
            field_words=_FIELDS,
            passwords=[(step.entry.address, step.entry.name, _drawn(seed, step.entry.address)) for step in seen.new],
            closing=seen.plan.missing if given.get("close_missing") and not seen.plan.bad else (),
            fields={**{name: line(given, name) for name in _OPTIONS}, "seed": seed},
            columns=text(given, "map", MAX_MAP),
            content=content,
        )

    async def passwords(self, request: Request, visit: StaffVisit) -> Response:
        """The first passwords of the mailboxes that the list would make, as a table to keep."""
        del visit
        form = await request.form()
        seed = _seed(form)
        seen = await _seen(self._importer(form, seed))
        rows = [(step.entry.address, step.entry.name, _drawn(seed, step.entry.address)) for step in seen.new]
        table = "".join(table_line(row) for row in (("address", "name", "first password"), *rows))
        headers = {"Content-Disposition": 'attachment; filename="first-passwords.csv"'}
        return Response(table, media_type="text/csv; charset=utf-8", headers=headers)

    async def do(self, request: Request, visit: StaffVisit) -> Response:
        """Do what was looked at."""
        form = await request.form()
        if not is_confirmed(form):
            raise ConfigError("nothing was changed: tick the box that the first passwords are kept")
        importer = self._importer(form, _seed(form))
        seen = await _seen(importer)
        closing: Sequence[Held] = ()
        if line(form, "close_missing") and not seen.plan.bad:
            closing = seen.plan.missing
        outcome = await importer.apply(lambda _bytes: None, _Kept(), closing)
        return self.desk.show(request, "staff/import_done.html", visit, outcome=outcome, seen=seen)

    def _importer(self, form: FormData, seed: str) -> Importer:
        """An importer of the list that a form carries. ConfigError."""
        node = self.desk.node
        data = text(form, "content", MAX_LIST_BYTES).encode()
        options = source_options(form, data, line(form, "name"), MAILBOX_FIELDS, FORMATS)
        structures = frozenset(line(form, "structures").split())
        try:
            address_form = AddressForm(line(form, "address_form") or DEFAULT_FORM)
        except ListError as error:
            raise ConfigError(error.message, hint=error.hint) from None
        return Importer(
            ListFile(domain=node.settings.domain, structures=structures, ask_structures=_ASK_STRUCTURES, **options),
            mailboxes=node.mailboxes,
            directory=node.directory,
            database=node.database,
            form=address_form,
            quota_bytes=node.settings.limits.mailbox_quota_bytes,
            draw=lambda address: Secret(_drawn(seed, address).encode()),
        )


async def _seen(importer: Importer) -> _Seen:
    seen = _Seen()
    seen.plan = await importer.plan(seen.add, lambda _bytes: None)
    return seen


def _seed(form: FormData) -> str:
    seed = line(form, "seed")
    if len(seed) != 2 * _SEED_BYTES:
        raise ConfigError("the page was not whole", hint="choose the list again")
    return seed


def _drawn(seed: str, address: str) -> str:
    """The first password of a new mailbox: from the page's random seed, so that it can be shown before it counts."""
    counter = 0

    def random_bytes(count: int) -> bytes:
        nonlocal counter
        counter += 1
        place = b"%d %s" % (counter, address.encode())
        return hkdf_expand(seed.encode(), info=Label.FIRST_PASSWORD.value + place, length=count)

    return ways.draw_first_password(random_bytes).reveal().decode()
