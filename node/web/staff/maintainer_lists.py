"""A national list beside those vouched for: imported, looked at, who is who in it. Spec: spec/desks.md, 8."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from directory_sync.lists.institutions import INSTITUTION_FIELDS, ListedInstitution
from node.errors import CoffreError, ConfigError, FolderError, NotFoundError
from node.lists.source import ENCODINGS
from node.maintainer.desk import Desk
from node.maintainer.difference import Difference, Found, choose, compare, import_list, members
from node.maintainer.invitations import invite_table
from node.maintainer.list_source import INSTITUTION_FORMATS, InstitutionFile
from node.maintainer.list_store import InviteFilter, ListStore, list_path
from node.reports.rendering import N_
from node.web.staff.desk import MAINTAINER, StaffDesk, StaffVisit
from node.web.staff.forms import line, text, upload_named
from node.web.staff.list_forms import MAX_MAP, source_options
from node.web.staff.maintainer_desk import MAINTAINER_PATH, MaintainerDoor
from protocol.ids import NodeId

__all__ = ["FIELD_WORDS", "LIST_PATH", "NationalListPages"]

LIST_PATH: Final = f"{MAINTAINER_PATH}/list"
_MAX_LIST_BYTES: Final = 10 * 1024 * 1024
_PAGE: Final = 50
_KEY_BYTES: Final = 2000
_DONE: Final = {
    "imported": N_("The list is kept. Nobody was endorsed or revoked by it: read the difference."),
    "matched": N_("Remembered, also for the lists after this one."),
    "unmatched": N_("Domain and name say again which one it is."),
}
FIELD_WORDS: Final = {"name": N_("Name"), "kind": N_("Kind"), "region": N_("Region"), "domain": N_("Domain")}
_FORMAT_WORDS: Final = {
    "csv": N_("table (CSV)"),
    "finess": N_("French register of institutions (FINESS)"),
    "rass": N_("French national extract (RASS)"),
    "fhir": N_("FHIR bundle"),
}


@dataclass(frozen=True, slots=True)
class _Looked:
    """What a page shows of the list that is kept."""

    difference: Difference
    to_invite: Sequence[ListedInstitution]
    count: int

    def parts(self) -> Mapping[str, Any]:
        """For the template."""
        difference = self.difference
        return {
            "facts": difference.facts,
            "requests": difference.requests,
            "missing": difference.of(Found.MISSING),
            "unclear": difference.of(Found.UNCLEAR),
            "differing": difference.of(Found.LISTED, differing=True),
            "agreeing": difference.of(Found.LISTED),
            "revoked": difference.revoked,
            "to_invite": self.to_invite,
            "to_invite_count": self.count,
        }


@dataclass(frozen=True, slots=True)
class NationalListPages:
    """/staff/maintainer/list"""

    desk: StaffDesk

    def routes(self) -> list[Route]:
        """Where what is found."""
        page, action, opened = self.desk.page, self.desk.action, MaintainerDoor(self.desk).opened
        return [
            page(MAINTAINER, LIST_PATH, opened(self.show)),
            action(MAINTAINER, LIST_PATH, opened(self.bring), token_in_body=True),
            action(MAINTAINER, f"{LIST_PATH}/match", opened(self.match)),
            page(MAINTAINER, f"{LIST_PATH}/to-invite.csv", opened(self.table)),
        ]

    async def show(self, request: Request, visit: StaffVisit, desk: Desk) -> Response:
        """The difference as list and desk are now, and a form for another list."""
        return await self._page(request, visit, desk)

    async def _page(
        self, request: Request, visit: StaffVisit, desk: Desk, error: CoffreError | None = None, columns: str = ""
    ) -> Response:
        wanted, start = _wanted(request, desk), request.query_params.get("from", "0")
        begin = int(start) if start.isascii() and start.isdigit() and len(start) < 8 else 0
        looked: _Looked | None = None
        try:
            looked = await self.desk.node.world.run_blocking(_look, desk, wanted, begin)
        except NotFoundError:
            pass
        except FolderError as problem:
            error = error or problem
        return self.desk.show(
            request,
            "staff/maintainer_list.html",
            visit,
            status=200 if error is None else 422,
            error=error,
            looked=looked,
            wanted=wanted,
            region=desk.entry.region,
            begin=begin,
            following=begin + _PAGE if looked is not None and looked.count > begin + _PAGE else 0,
            preceding=max(0, begin - _PAGE),
            formats={name: _FORMAT_WORDS[name] for name in INSTITUTION_FORMATS},
            encodings=ENCODINGS,
            fields=INSTITUTION_FIELDS.names,
            columns=columns,
            field_words=FIELD_WORDS,
            most_bytes=_MAX_LIST_BYTES,
            done=_DONE.get(request.query_params.get("done", "")) if error is None else None,
            **(looked.parts() if looked is not None else {}),
        )

    async def bring(self, request: Request, visit: StaffVisit, desk: Desk) -> Response:
        """Keep a list. The one before stays where this one cannot be read."""
        form, data, name = await upload_named(request, visit, "file", most_bytes=_MAX_LIST_BYTES)

        def work() -> str:
            options = source_options(form, data, name, INSTITUTION_FIELDS, INSTITUTION_FORMATS)
            facts = import_list(desk, InstitutionFile(**options), name, self.desk.node.world, lambda _bytes: None)
            return facts.sha256[:16]

        try:
            if not data:
                raise ConfigError("no list was chosen")
            digest = await self.desk.node.world.run_blocking(work)
        except CoffreError as error:
            return await self._page(request, visit, desk, error, text(form, "map", MAX_MAP))
        await self.desk.note(visit, f"maintainer: list {digest}")
        return self.desk.done(LIST_PATH, "imported")

    async def match(self, request: Request, visit: StaffVisit, desk: Desk) -> Response:
        """Say which institution of the list one is, or take that back."""
        form = await request.form()
        key = text(form, "key", _KEY_BYTES)
        node = _node(line(form, "node"))
        member = next((member for member in members(desk) if member.node == node), None)
        if member is None:
            raise NotFoundError("nothing is known of this institution any more")
        await self.desk.node.world.run_blocking(choose, desk, member, key or None)
        await self.desk.note(visit, f"maintainer: {'match' if key else 'unmatch'} {node.text[:16]}")
        return self.desk.done(LIST_PATH, "matched" if key else "unmatched")

    async def table(self, request: Request, visit: StaffVisit, desk: Desk) -> Response:
        """All whom to invite, as a table."""
        del visit
        wanted = _wanted(request, desk)

        def work() -> str:
            with ListStore.open(list_path(desk.path)) as store:
                difference = compare(desk, store)
                return invite_table(store.without(difference.known, wanted), difference.revoked)

        table = await self.desk.node.world.run_blocking(work)
        headers = {"Content-Disposition": 'attachment; filename="to-invite.csv"'}
        return Response(table, media_type="text/csv; charset=utf-8", headers=headers)


def _look(desk: Desk, wanted: InviteFilter, begin: int) -> _Looked:
    with ListStore.open(list_path(desk.path)) as store:
        difference = compare(desk, store)
        return _Looked(
            difference,
            store.without(difference.known, wanted, first=begin, count=_PAGE),
            store.count_without(difference.known, wanted),
        )


def _wanted(request: Request, desk: Desk) -> InviteFilter:
    words = request.query_params.get("q", "")[:200].strip()
    return InviteFilter(words, "" if request.query_params.get("everywhere") else desk.entry.region)


def _node(told: str) -> NodeId:
    try:
        return NodeId(bytes.fromhex(told))
    except ValueError:
        raise ConfigError("this names no institution") from None
