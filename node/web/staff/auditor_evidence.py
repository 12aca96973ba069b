"""A file of evidence against the own log; a leaf by its place. Spec: spec/desks.md, 5."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.audit.explorer import log_line
from node.auditor.lookup import LookedUp, Place, Sort, look_up
from node.errors import CoffreError, ConfigError
from node.reports.kinds import kind_words
from node.reports.rendering import N_, language_of
from node.web.pages.form_desk import see_other
from node.web.staff.auditor_log import LOG_PATH, place_of
from node.web.staff.desk import AUDITOR, StaffDesk, StaffVisit
from node.web.staff.forms import upload
from node.web.uploads import MAX_FORM_BYTES
from protocol.errors import RemoteProtocolError
from protocol.ids import LeafTag

__all__ = ["EVIDENCE_PATH", "EvidencePages"]

EVIDENCE_PATH: Final = "/auditor/evidence"
_SORTS: Final = {
    Sort.EVIDENCE: N_("Evidence of a letter"),
    Sort.DISCLOSURE: N_("A disclosure"),
    Sort.HEADS: N_("Signed heads"),
    Sort.FORK: N_("Proof of two histories"),
}
_PLACES: Final = {
    Place.THERE: N_("in this log, at its place"),
    Place.OTHER: N_("this log has something else there"),
    Place.BEYOND: N_("beyond the end of this log"),
    Place.ELSEWHERE: N_("of another institution's log"),
}


@dataclass(frozen=True, slots=True)
class EvidencePages:
    """/staff/auditor/evidence"""

    desk: StaffDesk

    def routes(self) -> list[Route]:
        """Where what is found."""
        return [
            self.desk.page(AUDITOR, EVIDENCE_PATH, self.show),
            self.desk.action(AUDITOR, EVIDENCE_PATH, self.look, token_in_body=True),
        ]

    async def show(self, request: Request, visit: StaffVisit) -> Response:
        """The forms; `?place=` leads to a leaf, or to all leaves of a tag."""
        wanted = request.query_params.get("place", "").strip()[:100]
        if not wanted:
            return self._form(request, visit)
        node, ref = self.desk.node, place_of(wanted)
        if ref is not None and await node.database.read(log_line, node.keys, ref) is not None:
            # The page of the log that begins with it.
            return see_other(f"/staff{LOG_PATH}?{urlencode({'before': f'{ref.epoch}/{ref.position + 1}'})}")
        if len(wanted) == 2 * LeafTag.LENGTH and all(letter in "0123456789abcdef" for letter in wanted.lower()):
            return see_other(f"/staff{LOG_PATH}?{urlencode({'tag': wanted.lower()})}")
        error = ConfigError("there is no such leaf", hint="epoch/index as 1/1204, or a tag of 32 hex digits")
        return self._form(request, visit, error=error, place=wanted)

    async def look(self, request: Request, visit: StaffVisit) -> Response:
        """What a file proves, and whether this log agrees."""
        node = self.desk.node
        try:
            form, data = await upload(request, visit, "file", most_bytes=MAX_FORM_BYTES)
            del form
            if not data:
                raise ConfigError("no file was chosen")
            found = await node.database.read(look_up, node.node_id, "file", data)
        except RemoteProtocolError as error:
            said = ConfigError(f"this file does not hold: {error.detail or error.reason.value}")
            return self._form(request, visit, error=said)
        except ConfigError as error:
            return self._form(request, visit, error=error)
        return self._form(request, visit, found=found)

    def _form(
        self,
        request: Request,
        visit: StaffVisit,
        *,
        error: CoffreError | None = None,
        found: LookedUp | None = None,
        place: str = "",
    ) -> Response:
        language = language_of(self.desk.templates.language(request))
        events = () if found is None else found.events
        return self.desk.show(
            request,
            "staff/auditor_evidence.html",
            visit,
            status=200 if error is None else 422,
            error=error,
            found=found,
            wanted=place,
            sorts=_SORTS,
            places=_PLACES,
            words={event.kind: kind_words(event.kind, language) for event in events if event.kind is not None},
            own=self.desk.node.node_id,
            most_bytes=MAX_FORM_BYTES,
        )
