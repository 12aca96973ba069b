"""Letters to people outside, for their senders: write, tell the code, see what became of them, revoke.

Spec: spec/pickup.md, 4.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import trio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.errors import CoffreError, NotFoundError
from node.outside.answers import AnswerFile
from node.outside.offering import DEFAULT_DAYS, DEFAULT_OPENINGS, MAX_DAYS, MAX_OPENINGS, Offer
from node.outside.rows import MAX_ATTEMPTS, StoredPickup
from node.post.compose import Draft
from node.reports.kinds import kind_words
from node.reports.rendering import N_, Language, language_of
from node.vault.states import LetterFolder, PickupState
from node.vault.timeline import TimelineEvent
from node.web.pages.desk import Box, Desk, ForbiddenError, see_other
from node.web.uploads import parse_documents, text_of
from protocol.letter import MAX_SUBJECT_BYTES
from protocol.logleaf import EventKind
from protocol.pickup import grouped

__all__ = ["OutsidePages"]

_PAGE: Final = 50
_MAX_TEXT: Final = 200_000
_FORMS_AT_ONCE: Final = 4


_EVENTS: Final = {
    (EventKind.PICKUP_OFFERED, "email, shown"): N_("Written. The code was shown to the sender."),
    (EventKind.PICKUP_OFFERED, "email, sms"): N_("Written. The code went to an SMS gateway."),
    (EventKind.ALERTED, "email, pickup"): N_("The link left by e-mail."),
    (EventKind.PICKED_UP, ""): N_("Opened with link and code."),
    (EventKind.PICKUP_FAILED, ""): N_("A wrong code: {code} of {limit}."),
    (EventKind.PICKUP_REVOKED, "sender"): N_("Revoked by the sender."),
    (EventKind.PICKUP_REVOKED, "attempts"): N_("Locked after wrong codes."),
    (EventKind.PICKUP_REVOKED, "expired"): N_("The time was over."),
    (EventKind.DOWNLOADED, ""): N_("Document {code} was downloaded."),
}


@dataclass(frozen=True, slots=True)
class OutsidePages:
    """The sender's side."""

    desk: Desk
    forms: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(_FORMS_AT_ONCE))

    def routes(self) -> list[Route]:
        """Where what is found."""
        inside = self.desk.in_box
        return [
            Route("/box/{box}/outside", inside(self.list), methods=["GET"]),
            Route("/box/{box}/outside/new", inside(self.new), methods=["GET"]),
            Route("/box/{box}/outside/new", inside(self.offer, form_in_body=True), methods=["POST"]),
            Route("/box/{box}/outside/{row}", inside(self.one), methods=["GET"]),
            Route("/box/{box}/outside/{row}/revoke", inside(self.revoke), methods=["POST"]),
        ]

    async def list(self, request: Request, box: Box) -> Response:
        """The letters of this mailbox to people outside, newest first."""
        before = request.query_params.get("before", "")
        before_ms = int(before) if before.isascii() and before.isdigit() and len(before) < 16 else None
        found = await self.desk.node.outside.list(box.opened, limit=_PAGE + 1, before_ms=before_ms)
        page = found[:_PAGE]
        return self.desk.page(
            request,
            "outside_list.html",
            box,
            folder="outside",
            pickups=page,
            following=page[-1].created_at_ms if len(found) > _PAGE else 0,
        )

    async def new(self, request: Request, box: Box) -> Response:
        """The form."""
        return self._form(request, box, {})

    def _form(
        self, request: Request, box: Box, given: dict[str, str], *, error: CoffreError | None = None, status: int = 200
    ) -> Response:
        node = self.desk.node
        values = {
            "to": "",
            "subject": "",
            "text": "",
            "language": self.desk.templates.language(request),
            "days": str(DEFAULT_DAYS),
            "openings": str(DEFAULT_OPENINGS),
            "number": "",
            "once": node.world.random_bytes(16).hex(),
            **given,
        }
        return self.desk.page(
            request,
            "outside_new.html",
            box,
            status=status,
            folder="outside",
            form=values,
            error=error,
            has_sms=bool(node.settings.alerts.sms_webhook),
            max_days=MAX_DAYS,
            max_openings=MAX_OPENINGS,
            max_subject=MAX_SUBJECT_BYTES,
        )

    async def offer(self, request: Request, box: Box) -> Response:
        """Offer the letter, and show its code: once, here."""
        given: dict[str, str] = {}
        async with self.forms:
            try:
                form, documents = await parse_documents(request, "documents")
                if not box.session.form.matches(text_of(form, "csrf", 100)):
                    raise ForbiddenError
                given = {
                    name: text_of(form, name, _MAX_TEXT if name == "text" else 1000)
                    for name in ("to", "subject", "text", "language", "days", "openings", "number", "once")
                }
                sources = [
                    AnswerFile(name=item.name, media_type=item.media_type, data=item.data).source()
                    for item in documents
                ]
                draft = Draft(
                    sender=box.opened,
                    to=(given["to"].strip(),),
                    subject=given["subject"].strip(),
                    text=given["text"],
                    attachments=tuple(sources),
                )
                offered = await self.desk.node.outside.offer(
                    Offer(
                        draft=draft,
                        language=given["language"],
                        days=_number(given["days"]),
                        openings=_number(given["openings"]),
                        number=given["number"].strip(),
                        once=_once(given["once"]),
                    )
                )
            except CoffreError as error:
                return self._form(request, box, given, error=error, status=422)
        return self.desk.page(
            request,
            "outside_code.html",
            box,
            folder="outside",
            offered=offered,
            code="" if offered.code is None else grouped(offered.code),
        )

    async def _pickup(self, request: Request, box: Box) -> StoredPickup:
        row = request.path_params["row"]
        if len(row) != 32:
            raise NotFoundError("no such letter")
        stored = await self.desk.node.reading.find(box.opened, LetterFolder.SENT, row)
        pickup = await self.desk.node.outside.of_letter(stored.row)
        if pickup is None:
            raise NotFoundError("that letter went to nobody outside")
        return pickup

    async def one(self, request: Request, box: Box) -> Response:
        """A letter, where it stands, and its timeline."""
        node = self.desk.node
        pickup = await self._pickup(request, box)
        stored = await node.reading.find(box.opened, LetterFolder.SENT, pickup.letter.hex())
        opened = await node.reading.open(box.opened, stored)
        timeline = await node.timelines.timeline(stored)
        language = language_of(self.desk.templates.language(request))
        return self.desk.page(
            request,
            "outside_letter.html",
            box,
            folder="outside",
            pickup=pickup,
            letter=opened.letter,
            events=[(event, _said(event, language)) for event in timeline.events],
            is_open=pickup.is_open(node.world.now_ms()),
            can_revoke=pickup.state is not PickupState.REVOKED and pickup.state is not PickupState.EXPIRED,
            max_attempts=MAX_ATTEMPTS,
        )

    async def revoke(self, request: Request, box: Box) -> Response:
        """From now on it opens nothing."""
        pickup = await self._pickup(request, box)
        await self.desk.node.outside.revoke(box.opened, pickup.letter)
        return see_other(f"{box.path}/outside/{pickup.letter.hex()}")


def _said(event: TimelineEvent, language: Language) -> str:
    """What happened, in a line."""
    text = _EVENTS.get((event.kind, event.code)) or _EVENTS.get((event.kind, ""))
    if text is None:
        return kind_words(event.kind, language)
    first, _, last = event.code.partition(" of ")
    return language.text(text, code=first, limit=last)


def _number(text: str) -> int:
    """A small number of a form; 0, which no limit allows, for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 4 else 0


def _once(text: str) -> bytes:
    try:
        mark = bytes.fromhex(text)
    except ValueError:
        return b""
    return mark if len(mark) == 16 else b""
