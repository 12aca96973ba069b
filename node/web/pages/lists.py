"""Lists of letters: folders, marks, trash, search. Spec: spec/web.md, 8."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.errors import NotFoundError
from node.vault.mailbox_index.lists import Cursor, Page, View
from node.vault.mailbox_index.terms import Query
from node.vault.states import LetterFolder, Place
from node.web.highlighting import Highlighter
from node.web.pages.desk import Box, Desk, see_other
from node.web.pages.filing import Done

__all__ = ["ListPages"]

_PAGE: Final = 50
_AT_ONCE: Final = 40
"""Letters indexed before a list is shown: what came since the last look, in most cases."""
_PIECE: Final = 500
"""Letters indexed while somebody watches the progress."""
_PLACES: Final = {"inbox": Place.INBOX, "sent": Place.SENT, "archive": Place.ARCHIVE}
_VIEWS: Final = {"flagged": View.FLAGGED, "trash": View.TRASH}
_MAX_QUERY: Final = 400


@dataclass(frozen=True, slots=True)
class ListPages:
    """Looking for letters."""

    desk: Desk

    def routes(self) -> list[Route]:
        """Where what is found."""
        inside = self.desk.in_box
        return [
            *(Route(f"/box/{{box}}/{name}", inside(self.listed), methods=["GET"]) for name in (*_PLACES, *_VIEWS)),
            Route("/box/{box}/folder/{number:int}", inside(self.listed), methods=["GET"]),
            Route("/box/{box}/search", inside(self.search), methods=["GET"]),
            Route("/box/{box}/index", inside(self.go_on), methods=["POST"]),
        ]

    async def listed(self, request: Request, box: Box) -> Response:
        """A folder, the flagged letters, or the trash; the newest first."""
        node = self.desk.node
        name = request.url.path.rpartition("/")[2]
        view: int | View
        heading = ""
        if "number" in request.path_params:
            view, name = request.path_params["number"], "own"
            found = [folder.name for folder in box.nav.folders if folder.number == view]
            if not found:
                raise NotFoundError("no such folder")
            heading = found[0]
        else:
            view = _PLACES[name] if name in _PLACES else _VIEWS[name]
        waits = await node.index.update(box.opened, limit=_AT_ONCE)
        before = request.query_params.get("before")
        unread = request.query_params.get("unread") == "1"
        cursor = None if before is None else Cursor.parse(before)
        if before is not None and cursor is None:
            raise NotFoundError("no such page")
        page = await node.lists.page(box.opened, view, before=cursor, unread=unread, limit=_PAGE)
        return await self._page(
            request,
            box,
            page,
            waits,
            folder=name,
            heading=heading,
            own=view if name == "own" else 0,
            unread=unread,
            older=f"?before={page.following}{'&unread=1' if unread else ''}" if page.following else "",
            mark=Highlighter(()),
            query=None,
            with_files=False,
        )

    async def search(self, request: Request, box: Box) -> Response:
        """Letters that have all the words that were typed."""
        text = request.query_params.get("q", "")[:_MAX_QUERY]
        with_files = request.query_params.get("files") == "1"
        before = request.query_params.get("before", "")
        if before and not (before.isascii() and before.isdigit() and len(before) < 12):
            raise NotFoundError("no such page")
        waits = await self.desk.node.index.update(box.opened, limit=_AT_ONCE)
        query = Query.parse(text, with_files=with_files)
        page = await self.desk.node.lists.search(box.opened, query, before=int(before) if before else None, limit=_PAGE)
        older = str(request.url.include_query_params(before=page.following)) if page.following else ""
        return await self._page(
            request,
            box,
            page,
            waits,
            folder="search",
            heading="",
            own=0,
            unread=False,
            older="?" + older.partition("?")[2] if older else "",
            mark=Highlighter(query.words),
            query=text,
            with_files=with_files,
        )

    async def _page(self, request: Request, box: Box, page: Page, waits: bool, **values: Any) -> Response:
        node = self.desk.node
        progress = await node.index.progress(box.opened) if waits else None
        sent = {item.row: item.tag for item in page.letters if item.folder is LetterFolder.SENT}
        states = await node.timelines.states_of(sent) if sent else {}
        return self.desk.page(
            request,
            "list.html",
            box,
            letters=page.letters,
            states=states,
            progress=progress if progress is not None and progress.waiting else None,
            done=Done.of(request),
            here=_here(request),
            **values,
        )

    async def go_on(self, request: Request, box: Box) -> Response:
        """Index one piece more; shows how far that went."""
        await self.desk.node.index.update(box.opened, limit=_PIECE)
        if "hx-request" not in request.headers:
            return see_other(f"{box.path}/inbox")
        progress = await self.desk.node.index.progress(box.opened)
        return self.desk.page(request, "list_progress.html", box, progress=progress, with_reload=True)


def _here(request: Request) -> str:
    """The path of this list, to come back to after something was done to its letters."""
    kept = [(key, value) for key, value in request.query_params.multi_items() if key in ("q", "files", "unread")]
    url = request.url.replace(query="").include_query_params(**dict(kept))
    return url.path + (f"?{url.query}" if url.query else "")
