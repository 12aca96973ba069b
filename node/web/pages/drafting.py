"""Writing a letter: the page, its saving by itself, sending once. Spec: spec/web.md, 7."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import Any, Final

import sqlalchemy as sa
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from directory_sync.lookalikes import Caution
from node.errors import (
    CoffreError,
    DraftFileGoneError,
    LimitError,
    MovedError,
    NotFoundError,
    RecipientError,
)
from node.post.drafting import OpenDraft
from node.post.outlook import Outlook, look_ahead
from node.reports.rendering import N_, language_of
from node.vault.draft_rows import DRAFT_NAME_BYTES, MAX_DRAFT_TEXT_BYTES, DraftSentError, DraftText
from node.vault.last_openings import LastOpenings
from node.vault.mailbox_texts import WritingTexts
from node.web.error_words import error_words
from node.web.guard import BodyRule
from node.web.pages.desk import Box, Desk, see_other
from node.web.pages.draft_names import draft_name
from node.web.pages.recipient_fields import typed_addresses
from node.web.pages.write_words import ASKS_FOR_ANSWER, caution_text, obstacle_text
from protocol.letter import MAX_SUBJECT_BYTES, LetterClass

__all__ = ["DraftPages"]

# A text of 1 MiB, three bytes for each where every one must be escaped, and the rest of the form.
_BODY_BYTES: Final = 4 * MAX_DRAFT_TEXT_BYTES
_IDLE_S: Final = 30
_DEEDS: Final = "send|template|group|remove|discard|restore"
_PATH: Final = re.compile(rf"/box/[0-9a-f]{{32}}/(write/[0-9a-f]{{32}}(/({_DEEDS}))?|writing)")
_NO_RECIPIENT: Final = N_("Say to whom the letter goes.")
_LONG_SUBJECT: Final = N_("The subject is too long: one line of 998 characters at most.")
_NO_ROOM: Final = N_(
    "There is no room for this letter: your mailbox or the disk is too full, or the letter too large. Take files off, "
    "delete letters, or ask your office."
)
_GONE_FILE: Final = N_("A document of this letter is no longer whole here. Take it off, and attach it again.")
_ONE_DRAFT_TOO_MANY: Final = N_("Not saved: the text is longer than 1 MB, or there are too many drafts.")


def _digest(cautions: tuple[Caution, ...]) -> str:
    """Names what was asked, so that a yes is to that and to nothing that came up since."""
    told = "\n".join(sorted(f"{item.kind}|{item.address}|{','.join(item.others)}" for item in cautions))
    return hashlib.sha256(told.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class DraftPages:
    """Writing."""

    desk: Desk

    @staticmethod
    def body_rules() -> list[BodyRule]:
        """A long text is longer than other forms."""
        return [BodyRule(_PATH, _BODY_BYTES, _IDLE_S)]

    def routes(self) -> list[Route]:
        """Where what is found."""
        inside, base = self.desk.in_box, "/box/{box}/write/{draft}"
        return [
            Route("/box/{box}/write", inside(self.new), methods=["GET"]),
            Route("/box/{box}/drafts", inside(self.drafts), methods=["GET"]),
            Route(base, inside(self.show), methods=["GET"]),
            Route(base, inside(self.save), methods=["POST"]),
            Route(f"{base}/template", inside(self.template), methods=["POST"]),
            Route(f"{base}/send", inside(self.send), methods=["POST"]),
            Route(f"{base}/discard", inside(self.discard), methods=["POST"]),
            Route(f"{base}/restore", inside(self.restore), methods=["POST"]),
        ]

    async def new(self, request: Request, box: Box) -> Response:
        """To a page of its own: nothing is kept before something is written."""
        name = self.desk.node.world.random_bytes(DRAFT_NAME_BYTES)
        return see_other(f"{box.path}/write/{name.hex()}")

    async def drafts(self, request: Request, box: Box) -> Response:
        """Letters that are being written. Of one just discarded: how to take it back."""
        drafts = await self.desk.node.drafts.all(box.opened)
        discarded = request.query_params.get("discarded", "")
        if not re.fullmatch(r"[0-9a-f]{32}", discarded):
            discarded = ""
        return self.desk.page(request, "drafts.html", box, folder="drafts", drafts=drafts, discarded=discarded)

    # -- the page

    async def show(self, request: Request, box: Box) -> Response:
        """A draft as it was saved, or an empty one with the mailbox's signature."""
        name = draft_name(request)
        try:
            draft = await self.desk.node.drafts.open(box.opened, name)
        except DraftSentError as sent:
            return see_other(f"{box.path}/sent/{sent.letter.hex()}")
        texts = await self.desk.node.mailbox_texts.of(box.opened)
        if draft.stored is None and texts.signature:
            draft = replace(draft, content=DraftText(text=f"\n\n{texts.signature}"))
        return await self._page(request, box, draft, texts=texts)

    async def _page(
        self,
        request: Request,
        box: Box,
        draft: OpenDraft,
        *,
        texts: WritingTexts,
        problems: tuple[str, ...] = (),
        asking: tuple[Caution, ...] = (),
        status: int = 200,
    ) -> Response:
        values = await self.looks(request, box, draft)
        return self.desk.page(
            request,
            "write.html",
            box,
            status=status,
            folder="write",
            draft=draft,
            templates=texts.templates,
            groups=await self.desk.node.recipient_groups.all(box.opened),
            writer=self.desk.node.world.random_bytes(8).hex(),
            room=await self.desk.node.drafts.room(box.opened, draft.name),
            most_text=MAX_DRAFT_TEXT_BYTES,
            problems=problems,
            asking=[caution_text(item, self._say(request)) for item in asking],
            confirmed=_digest(asking) if asking else "",
            **values,
        )

    def _say(self, request: Request) -> Any:
        def say(message: str, **values: object) -> str:
            return self.desk.templates.text(request, message, **values)

        return say

    async def _outlook(self, box: Box, draft: OpenDraft) -> Outlook:
        node, content = self.desk.node, draft.content

        def look(connection: sa.Connection) -> Outlook:
            return look_ahead(
                connection,
                node.directory,
                node.cautions,
                LastOpenings(node.keys),
                box.opened.id,
                (*content.to, *content.cc),
                letter_class=content.letter_class,
                files=draft.files,
            )

        return await node.database.read(look)

    async def looks(self, request: Request, box: Box, draft: OpenDraft) -> dict[str, Any]:
        """What is told of the recipients before anything is sent."""
        outlook, say = await self._outlook(box, draft), self._say(request)
        size = self.desk.templates.size(request)
        return {
            "outlook": outlook,
            "obstacle_text": lambda obstacle: obstacle_text(obstacle, say, size),
            "caution_text": lambda caution: caution_text(caution, say),
        }

    # -- saving

    async def keep(self, request: Request, box: Box) -> tuple[OpenDraft, bool]:
        """Save what the form holds: the draft, and whether it replaced a text that this page never saw."""
        name, form = draft_name(request), await request.form()
        drafts = self.desk.node.drafts
        before = await drafts.open(box.opened, name)
        content = self._content(form, before.content)
        seen = str(form.get("version", "0"))
        _, replaced = await drafts.save(
            box.opened,
            name,
            content,
            seen_version=int(seen) if seen.isdecimal() and len(seen) < 10 else 0,
            writer=str(form.get("writer", ""))[:16],
        )
        return await drafts.open(box.opened, name), replaced

    @staticmethod
    def _content(form: FormData, before: DraftText) -> DraftText:
        def typed(field: str) -> str:
            return str(form.get(field, ""))

        wanted = typed("class")
        return DraftText(
            to=typed_addresses(typed("to")),
            cc=typed_addresses(typed("cc")),
            subject=" ".join(typed("subject").split()),
            text=typed("text").replace("\r\n", "\n").replace("\0", ""),
            letter_class=LetterClass(wanted) if wanted in tuple(LetterClass) else LetterClass.NORMAL,
            thread=before.thread,
            answer_wanted="answer" in form,
        )

    async def save(self, request: Request, box: Box) -> Response:
        """Keep the draft: for a script the line that says so, else the page once more."""
        name, is_part = draft_name(request), "hx-request" in request.headers
        try:
            draft, replaced = await self.keep(request, box)
        except DraftSentError as sent:
            if is_part:
                return self.desk.page(request, "write_saved.html", box, sent=sent.letter, problem="")
            return see_other(f"{box.path}/sent/{sent.letter.hex()}")
        except LimitError:
            if not is_part:
                raise
            message = self._say(request)(_ONE_DRAFT_TOO_MANY)
            return self.desk.page(request, "write_saved.html", box, sent=None, problem=message)
        if not is_part:
            return see_other(f"{box.path}/write/{name.hex()}")
        values = await self.looks(request, box, draft)
        return self.desk.page(
            request, "write_saved.html", box, draft=draft, replaced=replaced, sent=None, problem="", **values
        )

    async def template(self, request: Request, box: Box) -> Response:
        """Put a template's text before what is there."""
        draft, _ = await self.keep(request, box)
        chosen = str((await request.form()).get("template", ""))
        texts = await self.desk.node.mailbox_texts.of(box.opened)
        if chosen.isdecimal() and len(chosen) < 4 and int(chosen) < len(texts.templates):
            text = f"{texts.templates[int(chosen)].text.rstrip()}\n{draft.content.text}"
            await self.desk.node.drafts.save(
                box.opened, draft.name, replace(draft.content, text=text), seen_version=draft.version
            )
        return see_other(f"{box.path}/write/{draft.name.hex()}")

    async def discard(self, request: Request, box: Box) -> Response:
        """Throw it away; the list offers it back."""
        name = draft_name(request)
        try:
            await self.desk.node.drafts.discard(box.opened, name)
        except NotFoundError:
            return see_other(f"{box.path}/drafts")  # nothing was ever saved of it
        return see_other(f"{box.path}/drafts?discarded={name.hex()}")

    async def restore(self, request: Request, box: Box) -> Response:
        """Take it back."""
        name = draft_name(request)
        await self.desk.node.drafts.discard(box.opened, name, gone=False)
        return see_other(f"{box.path}/write/{name.hex()}")

    # -- sending

    async def send(self, request: Request, box: Box) -> Response:
        """Send it once, however often this comes. Asks before a letter goes to somebody who looks like another."""
        try:
            draft, _ = await self.keep(request, box)
            outlook = await self._outlook(box, draft)
            problems = self._problems(request, draft, outlook)
            confirmed = str((await request.form()).get("confirmed", ""))
            asking = outlook.asking
            if problems or (asking and confirmed != _digest(asking)):
                return await self.again(request, box, draft, problems, asking)
            accepted = await self.desk.node.drafts.send(
                box.opened, draft.name, asks_by=self._say(request)(ASKS_FOR_ANSWER)
            )
        except DraftSentError as sent:
            return see_other(f"{box.path}/sent/{sent.letter.hex()}")
        except (LimitError, DraftFileGoneError, RecipientError, MovedError) as error:
            draft = await self.desk.node.drafts.open(box.opened, draft_name(request))
            return await self.again(request, box, draft, (self._words(request, error),), ())
        return see_other(f"{box.path}/sent/{accepted.row.hex()}")

    def _problems(self, request: Request, draft: OpenDraft, outlook: Outlook) -> tuple[str, ...]:
        say, size, found = self._say(request), self.desk.templates.size(request), []
        if not draft.content.to:
            found.append(say(_NO_RECIPIENT))
        if len(draft.content.subject.encode()) > MAX_SUBJECT_BYTES or not draft.content.subject.isprintable():
            found.append(say(_LONG_SUBJECT))
        found += [
            f"{item.typed}: {obstacle_text(obstacle, say, size)}"
            for item in outlook.recipients
            for obstacle in item.obstacles
        ]
        return tuple(found)

    def _words(self, request: Request, error: CoffreError) -> str:
        if isinstance(error, LimitError):
            return str(self._say(request)(_NO_ROOM))
        if isinstance(error, DraftFileGoneError):
            return str(self._say(request)(_GONE_FILE))
        return error_words(error, language_of(self.desk.templates.language(request)))

    async def again(
        self,
        request: Request,
        box: Box,
        draft: OpenDraft,
        problems: tuple[str, ...],
        asking: tuple[Caution, ...],
    ) -> Response:
        """The page once more (422), with what stands in the way or is asked."""
        texts = await self.desk.node.mailbox_texts.of(box.opened)
        asked = () if problems else asking
        return await self._page(request, box, draft, texts=texts, problems=problems, asking=asked, status=422)
