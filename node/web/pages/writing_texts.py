"""The page of a mailbox's signature and templates. Spec: spec/web.md, 7."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.vault.mailbox_texts import MAX_TEMPLATES, LetterTemplate, WritingTexts
from node.web.pages.desk import Box, Desk, see_other

__all__ = ["WritingTextPages"]


@dataclass(frozen=True, slots=True)
class WritingTextPages:
    """Signature and templates."""

    desk: Desk

    def routes(self) -> list[Route]:
        """Where what is found."""
        inside = self.desk.in_box
        return [
            Route("/box/{box}/writing", inside(self.show), methods=["GET"]),
            Route("/box/{box}/writing", inside(self.save), methods=["POST"]),
        ]

    async def show(self, request: Request, box: Box) -> Response:
        """What there is, and one empty template more."""
        texts = await self.desk.node.mailbox_texts.of(box.opened)
        rows = [*texts.templates, LetterTemplate("", "")][:MAX_TEMPLATES]
        is_saved = "saved" in request.query_params
        return self.desk.page(
            request,
            "writing.html",
            box,
            folder="writing",
            signature=texts.signature,
            templates=rows,
            is_saved=is_saved,
        )

    async def save(self, request: Request, box: Box) -> Response:
        """Replace them; a template without name and text is gone."""
        form = await request.form()
        names, bodies = form.getlist("name"), form.getlist("body")
        pairs = [(" ".join(str(name).split()), _text(body)) for name, body in zip(names, bodies, strict=False)]
        made = tuple(
            LetterTemplate(name or text.strip().split("\n")[0][:60], text) for name, text in pairs if name or text
        )
        await self.desk.node.mailbox_texts.save(box.opened, WritingTexts(signature=_signature(form), templates=made))
        return see_other(f"{box.path}/writing?saved=1")


def _text(value: object) -> str:
    return str(value).replace("\r\n", "\n").replace("\0", "").rstrip()


def _signature(form: FormData) -> str:
    return _text(form.get("signature", "")).strip("\n")
