"""The published log over HTTPS. Spec: spec/publishing.md, 1 and 2."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from node.audit.auditors import Auditor, Auditors
from node.audit.cosigned_heads import best_head
from node.audit.daily_heads import daily_heads, day_lines, day_number
from node.audit.publication import (
    TILE_WIDTH,
    entry_bundle,
    hash_tile,
    list_epochs,
    read_checkpoint,
    tile_path,
)
from node.vault.database import Database
from protocol.statement import StatementChain

__all__ = ["PublishedLog"]

_BEARER: Final = "bearer "
_ID_BYTES: Final = 16
_MAX_EPOCH: Final = 2**31 - 1
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_FOR_ONE: Final = "private, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class PublishedLog:
    """Answers readers of the log. public: whether heads and hash tiles are for everybody."""

    database: Database
    auditors: Auditors
    chain: Callable[[], StatementChain]
    public: bool

    def routes(self) -> list[Route]:
        """Where what is found."""
        return [
            Route("/log/epochs", self.epochs, methods=["GET"]),
            Route("/log/statements", self.statements, methods=["GET"]),
            Route("/log/{epoch:int}/checkpoint", self.checkpoint, methods=["GET"]),
            Route("/log/{epoch:int}/cosigned", self.cosigned, methods=["GET"]),
            Route("/log/{epoch:int}/daily/{day}", self.daily, methods=["GET"]),
            Route("/log/{epoch:int}/tile/{path:path}", self.tile, methods=["GET"]),
        ]

    async def _auditor(self, request: Request) -> Auditor | None:
        value = request.headers.get("authorization", "")
        if not value.lower().startswith(_BEARER):
            return None
        id_text, _, token_text = value[len(_BEARER) :].strip().partition(".")
        try:
            auditor_id = bytes.fromhex(id_text)
            token = base64.b64decode(token_text + "=" * (-len(token_text) % 4), altchars=b"-_", validate=True)
        except (ValueError, binascii.Error):
            return None
        return await self.auditors.authenticate(auditor_id, token) if len(auditor_id) == _ID_BYTES else None

    async def _refused(self, request: Request, *, for_auditors: bool) -> Response | None:
        if (self.public and not for_auditors) or await self._auditor(request) is not None:
            return None
        return PlainTextResponse("for admitted auditors\n", 401, {"WWW-Authenticate": "Bearer"})

    async def epochs(self, request: Request) -> Response:
        """A line an epoch: number and size."""
        refused = await self._refused(request, for_auditors=False)
        if refused is not None:
            return refused
        found = await self.database.read(list_epochs)
        return PlainTextResponse("".join(f"{item.epoch} {item.size}\n" for item in found))

    async def statements(self, request: Request) -> Response:
        """The node's statements, a base64 line each."""
        refused = await self._refused(request, for_auditors=False)
        if refused is not None:
            return refused
        lines = [base64.b64encode(raw).decode() + "\n" for raw in self.chain().raw_list()]
        return PlainTextResponse("".join(lines))

    async def checkpoint(self, request: Request) -> Response:
        """The newest committed head of an epoch."""
        refused = await self._refused(request, for_auditors=False)
        if refused is not None:
            return refused
        epoch = request.path_params["epoch"]
        note = await self.database.read(read_checkpoint, epoch) if epoch <= _MAX_EPOCH else None
        if note is None:
            return PlainTextResponse("no such epoch\n", 404)
        return Response(note, media_type="text/plain; charset=utf-8")

    async def cosigned(self, request: Request) -> Response:
        """The head of an epoch that most have cosigned."""
        refused = await self._refused(request, for_auditors=False)
        if refused is not None:
            return refused
        epoch = request.path_params["epoch"]
        best = await self.database.read(best_head, epoch) if epoch <= _MAX_EPOCH else None
        if best is None:
            return PlainTextResponse("no cosigned head\n", 404)
        return Response(best.note, media_type="text/plain; charset=utf-8")

    async def daily(self, request: Request) -> Response:
        """The list of an epoch's daily heads, or one of them."""
        refused = await self._refused(request, for_auditors=False)
        if refused is not None:
            return refused
        epoch, name = request.path_params["epoch"], request.path_params["day"]
        day = day_number(name)
        if epoch > _MAX_EPOCH or (day is None and name != "days"):
            return PlainTextResponse("no such day\n", 404)
        found = await self.database.read(daily_heads, epoch, day)
        if day is None:
            return PlainTextResponse(day_lines(found))
        if not found:
            return PlainTextResponse("no such day\n", 404)
        return Response(found[0].note, media_type="text/plain; charset=utf-8")

    async def tile(self, request: Request) -> Response:
        """A hash tile, or an entry bundle for an admitted auditor."""
        path, epoch = tile_path(request.path_params["path"]), request.path_params["epoch"]
        for_auditors = path is not None and path.level is None
        refused = await self._refused(request, for_auditors=for_auditors)
        if refused is not None:
            return refused
        data = None
        if path is not None and epoch <= _MAX_EPOCH:
            data = await self.database.read(entry_bundle if path.level is None else hash_tile, epoch, path)
        if path is None or data is None:
            return PlainTextResponse("no such tile\n", 404)
        full = path.width == TILE_WIDTH
        caching = (_FOR_ONE if for_auditors or not self.public else _FOR_EVER) if full else "no-store"
        return Response(data, media_type="application/octet-stream", headers={"Cache-Control": caching})
