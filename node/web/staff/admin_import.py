"""Mailboxes from a list: what it would change, first passwords to keep, then doing it. Spec: spec/staff.md, 6.3.

The list travels in the form that confirms it, so that what is done is what was looked at, and nothing of it lies on the
node's disk but for the moment of each reading.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from directory_sync.lists.addresses import AddressForm
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
from node.web.staff.forms import is_confirmed, line, text, upload
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
_OPTIONS: Final = ("format", "encoding", "delimiter", "address_form", "structures", "close_missing")


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

    def _form(self, request: Request, visit: StaffVisit, error: CoffreError | None = None) -> Response:
        return self.desk.show(
            request,
            "staff/import.html",
            visit,
            status=200 if error is None else 422,
            formats=FORMATS,
            encodings=ENCODINGS,
            most_bytes=MAX_LIST_BYTES,
            error=error,
        )

    async def look(self, request: Request, visit: StaffVisit) -> Response:
        """What the list would change. Nothing is changed."""
        form, data = await upload(request, visit, "file", most_bytes=MAX_LIST_BYTES)
        options = {name: line(form, name) for name in _OPTIONS}
        try:
            if not data:
                raise ConfigError("no list was chosen")
            encoding = options["encoding"] if options["encoding"] in ENCODINGS else "utf-8"
            content = data.decode(encoding)
        except UnicodeDecodeError:
            return self._form(request, visit, ConfigError("the list is in another encoding", hint="try cp1252"))
        except ConfigError as error:
            return self._form(request, visit, error)
        # From here on it is text of this page.
        options["encoding"] = "utf-8"
        seed = self.desk.node.world.random_bytes(_SEED_BYTES).hex()
        try:
            async with self._importer(options, content, seed) as importer:
                seen = await _seen(importer)
        except CoffreError as error:
            return self._form(request, visit, error)
        return self.desk.show(
            request,
            "staff/import_plan.html",
            visit,
            seen=seen,
            shown=_SHOWN,
            field_words=_FIELDS,
            passwords=[(step.entry.address, step.entry.name, _drawn(seed, step.entry.address)) for step in seen.new],
            closing=seen.plan.missing if options["close_missing"] and not seen.plan.bad else (),
            fields={**options, "seed": seed},
            content=content,
        )

    async def passwords(self, request: Request, visit: StaffVisit) -> Response:
        """The first passwords of the mailboxes that the list would make, as a table to keep."""
        del visit
        options, content, seed = _given(await request.form())
        async with self._importer(options, content, seed) as importer:
            seen = await _seen(importer)
        rows = [(step.entry.address, step.entry.name, _drawn(seed, step.entry.address)) for step in seen.new]
        table = "".join(table_line(row) for row in (("address", "name", "first password"), *rows))
        headers = {"Content-Disposition": 'attachment; filename="first-passwords.csv"'}
        return Response(table, media_type="text/csv; charset=utf-8", headers=headers)

    async def do(self, request: Request, visit: StaffVisit) -> Response:
        """Do what was looked at."""
        form = await request.form()
        if not is_confirmed(form):
            raise ConfigError("nothing was changed: tick the box that the first passwords are kept")
        options, content, seed = _given(form)
        async with self._importer(options, content, seed) as importer:
            seen = await _seen(importer)
            closing: Sequence[Held] = ()
            if options["close_missing"] and not seen.plan.bad:
                closing = seen.plan.missing
            outcome = await importer.apply(lambda _bytes: None, _Kept(), closing)
        return self.desk.show(request, "staff/import_done.html", visit, outcome=outcome, seen=seen)

    @asynccontextmanager
    async def _importer(self, options: dict[str, str], content: str, seed: str) -> AsyncIterator[Importer]:
        """An importer of this list, which lies in a file of the node's folder for as long as the block lasts."""
        node = self.desk.node
        run = node.world.run_blocking
        path = await run(_written, node.folder.path, content)
        try:
            source = ListFile(
                path=path,
                shown_as="the list",
                domain=node.settings.domain,
                format=options["format"] if options["format"] in FORMATS else "",
                delimiter={"tab": "\t"}.get(options["delimiter"], options["delimiter"][:1]),
                structures=frozenset(options["structures"].split()),
            )
            try:
                address_form = AddressForm(options["address_form"] or "{given}.{family}")
            except ListError as error:
                raise ConfigError(error.message, hint=error.hint) from None
            yield Importer(
                source,
                mailboxes=node.mailboxes,
                directory=node.directory,
                database=node.database,
                form=address_form,
                quota_bytes=node.settings.limits.mailbox_quota_bytes,
                draw=lambda address: Secret(_drawn(seed, address).encode()),
            )
        finally:
            await run(path.unlink)


async def _seen(importer: Importer) -> _Seen:
    seen = _Seen()
    seen.plan = await importer.plan(seen.add, lambda _bytes: None)
    return seen


def _given(form: FormData) -> tuple[dict[str, str], str, str]:
    options = {name: line(form, name) for name in _OPTIONS}
    seed = line(form, "seed")
    if len(seed) != 2 * _SEED_BYTES:
        raise ConfigError("the page was not whole", hint="choose the list again")
    return options, text(form, "content", MAX_LIST_BYTES), seed


def _drawn(seed: str, address: str) -> str:
    """The first password of a new mailbox: from the page's random seed, so that it can be shown before it counts."""
    counter = 0

    def random_bytes(count: int) -> bytes:
        nonlocal counter
        counter += 1
        place = b"%d %s" % (counter, address.encode())
        return hkdf_expand(seed.encode(), info=Label.FIRST_PASSWORD.value + place, length=count)

    return ways.draw_first_password(random_bytes).reveal().decode()


def _written(folder: Path, content: str) -> Path:
    """A file that its owner alone may read (NamedTemporaryFile makes it 0600)."""
    with NamedTemporaryFile("w", dir=folder, prefix="import-", suffix=".tmp", delete=False, encoding="utf-8") as file:
        file.write(content)
    return Path(os.fspath(file.name))
