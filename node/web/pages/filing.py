"""What is done to letters in lists and on their pages: moved, marked, deleted, put back; and own folders.

Spec: spec/web.md, 8.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.errors import ConfigError, NotFoundError
from node.vault.filing import HOME, Mark
from node.vault.mail_folders import MAX_NAME_CHARACTERS, NameTakenError
from node.vault.states import Place
from node.web.pages.desk import Box, Desk, see_other

__all__ = ["Done", "FilingPages"]

_MAX_ROWS: Final = 100
_ROW: Final = re.compile(r"[0-9a-f]{32}")
_UNDO: Final = re.compile(r"(?:[0-9a-f]{32}\.[0-9]{1,5},?){1,100}")
_BACK: Final = re.compile(r"/(?:inbox|sent|archive|flagged|trash|search|folder/[0-9]{1,5})(?:\?[!-~]{0,2000})?")
_DONE: Final = frozenset(
    {"archived", "moved", "deleted", "restored", "flagged", "unflagged", "unread", "read", "unopened", "none", "undone"}
)
_PROBLEMS: Final = {ConfigError: "name", NameTakenError: "taken"}
_MARKS: Final = {
    "flag": (Mark.FLAGGED, True, "flagged"),
    "unflag": (Mark.FLAGGED, False, "unflagged"),
    "unread": (Mark.UNREAD, True, "unread"),
    "read": (Mark.UNREAD, False, "read"),
}


@dataclass(frozen=True, slots=True)
class Done:
    """What was done just now, as a list says it. undo: letters and the places that they came from, as one text."""

    what: str
    count: int
    undo: str

    @classmethod
    def of(cls, request: Request) -> Done | None:
        """From the address of the list; None if it says nothing, or nonsense."""
        what, count = request.query_params.get("done", ""), request.query_params.get("n", "0")
        undo = request.query_params.get("undo", "")
        if what not in _DONE or not (count.isascii() and count.isdigit() and len(count) < 5):
            return None
        return cls(what, int(count), undo if _UNDO.fullmatch(undo) else "")


@dataclass(frozen=True, slots=True)
class FilingPages:
    """Doing."""

    desk: Desk

    def routes(self) -> list[Route]:
        """Where what is found."""
        inside = self.desk.in_box
        return [
            Route("/box/{box}/act", inside(self.act), methods=["POST"]),
            Route("/box/{box}/undo", inside(self.undo), methods=["POST"]),
            Route("/box/{box}/folders", inside(self.folders), methods=["GET"]),
            Route("/box/{box}/folders", inside(self.create), methods=["POST"]),
            Route("/box/{box}/folder/{number:int}/rename", inside(self.rename), methods=["POST"]),
            Route("/box/{box}/folder/{number:int}/delete", inside(self.delete), methods=["POST"]),
        ]

    # -- letters

    async def act(self, request: Request, box: Box) -> Response:
        """Do one thing to the letters that were chosen, and show the list again."""
        form = await request.form()
        action, rows = str(form.get("action", "")), _rows(form)
        if star := str(form.get("star", "")):
            # The star of one line: it is in the same form as the lines' boxes, which do not count then.
            action, _, row = star.partition(".")
            rows = [bytes.fromhex(row)] if _ROW.fullmatch(row) and action in ("flag", "unflag") else []
        done = await self._do(box, action, rows, str(form.get("to", ""))) if rows else Done("none", 0, "")
        return see_other(_back(form, box, done))

    async def _do(self, box: Box, action: str, rows: list[bytes], to: str) -> Done:
        node, opened = self.desk.node, box.opened
        if action in _MARKS:
            mark, is_set, word = _MARKS[action]
            count = await node.filing.mark(opened, rows, mark, is_set=is_set)
            if action == "read" and any(
                item.state.name == "UNREAD" for item in await node.reading.find_all(opened, rows)
            ):
                word = "unopened"
            return Done(word, count, "")
        if action in ("delete", "restore"):
            stored = await node.reading.find_all(opened, rows)
            if action == "restore":
                return Done("restored", len(await node.trash.undelete_all(opened, stored)), "")
            deleted = await node.trash.delete_all(opened, stored)
            return Done("deleted", len(deleted), ",".join(f"{row.hex()}.0" for row in deleted))
        if action in ("archive", "home"):
            moved = await node.filing.move(opened, rows, Place.ARCHIVE if action == "archive" else HOME)
        elif action == "move" and to.isascii() and to.isdigit() and len(to) < 6:
            moved = await node.filing.move(opened, rows, int(to) if int(to) else HOME)
        else:
            return Done("none", 0, "")
        undo = ",".join(f"{row.hex()}.{place}" for row, place in moved)
        return Done("archived" if action == "archive" else "moved", len(moved), undo)

    async def undo(self, request: Request, box: Box) -> Response:
        """Take back what was done last."""
        form = await request.form()
        node, text = self.desk.node, str(form.get("undo", ""))
        if not _UNDO.fullmatch(text):
            raise NotFoundError("nothing to take back")
        came_from: dict[int, list[bytes]] = {}
        for part in text.strip(",").split(","):
            row, _, place = part.partition(".")
            came_from.setdefault(int(place), []).append(bytes.fromhex(row))
        count = 0
        if form.get("what") == "deleted":
            rows = [row for some in came_from.values() for row in some]
            count = len(await node.trash.undelete_all(box.opened, await node.reading.find_all(box.opened, rows)))
        else:
            for number, some in came_from.items():
                target = number if number >= Place.ARCHIVE else HOME
                count += len(await node.filing.move(box.opened, some, target))
        return see_other(_back(form, box, Done("undone", count, "")))

    # -- own folders

    async def folders(self, request: Request, box: Box) -> Response:
        """The own folders, to be named, made and removed."""
        return self._folders(request, box)

    def _folders(self, request: Request, box: Box, problem: str = "", name: str = "", number: int = 0) -> Response:
        status = 409 if problem else 200
        return self.desk.page(
            request,
            "mail_folders.html",
            box,
            status=status,
            folder="folders",
            problem=problem,
            name=name,
            number=number,
            longest=MAX_NAME_CHARACTERS,
        )

    async def create(self, request: Request, box: Box) -> Response:
        """A new own folder."""
        name = str((await request.form()).get("name", ""))
        try:
            await self.desk.node.mail_folders.create(box.opened, name)
        except (ConfigError, NameTakenError) as error:
            return self._folders(request, box, _PROBLEMS[type(error)], name)
        return see_other(f"{box.path}/folders")

    async def rename(self, request: Request, box: Box) -> Response:
        """Another name for an own folder."""
        name, number = str((await request.form()).get("name", "")), request.path_params["number"]
        try:
            await self.desk.node.mail_folders.rename(box.opened, number, name)
        except (ConfigError, NameTakenError) as error:
            return self._folders(request, box, _PROBLEMS[type(error)], name, number)
        return see_other(f"{box.path}/folders")

    async def delete(self, request: Request, box: Box) -> Response:
        """Remove an own folder; its letters go back where they came from."""
        await self.desk.node.mail_folders.delete(box.opened, request.path_params["number"])
        return see_other(f"{box.path}/folders")


def _rows(form: FormData) -> list[bytes]:
    texts: Sequence[object] = form.getlist("row")[:_MAX_ROWS]
    return [bytes.fromhex(text) for text in texts if isinstance(text, str) and _ROW.fullmatch(text)]


def _back(form: FormData, box: Box, done: Done) -> str:
    """The list that the form was on, with what to say there."""
    text = str(form.get("back", ""))
    inside = text.removeprefix(box.path)
    back = text if text.startswith(box.path) and _BACK.fullmatch(inside) else f"{box.path}/inbox"
    said = urlencode({"done": done.what, "n": done.count, **({"undo": done.undo} if done.undo else {})})
    return f"{back}{'&' if '?' in back else '?'}{said}"
