"""Recipients of a letter: found as one types, put in as a group, taken out again. Spec: spec/web.md, 7 and 7.1."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.errors import ConfigError, LimitError, NotFoundError, StateError
from node.reports.rendering import N_
from node.vault.draft_rows import DraftSentError
from node.vault.recipient_groups import RecipientGroup, matching
from node.vault.search.directory_search import SearchPage, SearchQuery
from node.web.pages.desk import Box, Desk, see_other
from node.web.pages.draft_names import hex_bytes
from node.web.pages.drafting import DraftPages
from node.web.pages.recipient_fields import last_words
from protocol.letter import MAX_RECIPIENTS

__all__ = ["RecipientPages"]

_SHOWN: Final = 8
_GROUPS_SHOWN: Final = 4
_FIELDS: Final = ("to", "cc", "members")
_TOO_MANY: Final = N_("The group was not put in: a letter has at most {count} recipients.")


@dataclass(frozen=True, slots=True)
class RecipientPages:
    """What the fields of recipients are filled with."""

    desk: Desk
    drafts: DraftPages

    def routes(self) -> list[Route]:
        """Where what is found."""
        inside, base = self.desk.in_box, "/box/{box}/write/{draft}"
        return [
            Route("/box/{box}/recipients", inside(self.offered), methods=["GET"]),
            Route(f"{base}/group", inside(self.put_in), methods=["POST"]),
            Route(f"{base}/remove", inside(self.take_out), methods=["POST"]),
        ]

    async def offered(self, request: Request, box: Box) -> Response:
        """Whom the last words of a field may mean: groups of the mailbox, then people and services."""
        query, node = request.query_params, self.desk.node
        field = next((name for name in _FIELDS if name in query), "to")
        words = last_words(query.get(field, ""))
        found = SearchPage(matches=(), total=0, next_cursor="", suggestions=())
        groups: list[RecipientGroup] = []
        if len(words) >= 2:
            groups = await self._groups(box, words)
            try:
                asked = SearchQuery(text=words, limit=_SHOWN)
                found = await node.database.read(node.directory.search.page, asked)
            except (LimitError, ConfigError):
                pass  # more words than a search takes: nothing is offered
        return self.desk.page(
            request, "write_recipients.html", box, field=field, words=words, found=found, groups=groups
        )

    async def _groups(self, box: Box, words: str) -> list[RecipientGroup]:
        try:
            groups = await self.desk.node.recipient_groups.all(box.opened)
        except StateError:
            return []  # who may only read writes nothing, and has no groups
        return matching(groups, words)[:_GROUPS_SHOWN]

    async def put_in(self, request: Request, box: Box) -> Response:
        """Save the letter, and put a group's members into To or Copy."""
        try:
            draft, _ = await self.drafts.keep(request, box)
        except DraftSentError as sent:
            return see_other(f"{box.path}/sent/{sent.letter.hex()}")
        form, content = await request.form(), draft.content
        chosen = hex_bytes(str(form.get("group", "")))
        if chosen is None:
            raise NotFoundError("no such group")
        group = await self.desk.node.recipient_groups.find(box.opened, chosen)
        there = {typed.strip().lower() for typed in (*content.to, *content.cc)}
        added = tuple(address for address in group.members if address not in there)
        if len(content.to) + len(content.cc) + len(added) > MAX_RECIPIENTS:
            problem = self.desk.templates.text(request, _TOO_MANY, count=MAX_RECIPIENTS)
            return await self.drafts.again(request, box, draft, (problem,), ())
        if str(form.get("field", "")) == "cc":
            content = replace(content, cc=(*content.cc, *added))
        else:
            content = replace(content, to=(*content.to, *added))
        await self.desk.node.drafts.save(box.opened, draft.name, content, seen_version=draft.version)
        return see_other(f"{box.path}/write/{draft.name.hex()}")

    async def take_out(self, request: Request, box: Box) -> Response:
        """Save the letter, and take one recipient out of it."""
        try:
            draft, _ = await self.drafts.keep(request, box)
        except DraftSentError as sent:
            return see_other(f"{box.path}/sent/{sent.letter.hex()}")
        gone = str((await request.form()).get("remove", "")).strip().lower()

        def rest(typed: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(item for item in typed if item.strip().lower() != gone)

        content = replace(draft.content, to=rest(draft.content.to), cc=rest(draft.content.cc))
        await self.desk.node.drafts.save(box.opened, draft.name, content, seen_version=draft.version)
        return see_other(f"{box.path}/write/{draft.name.hex()}")
