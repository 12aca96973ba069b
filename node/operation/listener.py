"""Figures and health over HTTP, on an address of their own. Spec: spec/operation.md, 2."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

import trio
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from node.errors import StoreError
from node.operation.figures import Figures
from node.operation.readiness import OK, look_ready
from node.web.server import WebServer

if TYPE_CHECKING:
    from node.app import Node

__all__ = ["OperationListener"]

_NO_STORE: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class OperationListener:
    """Serves them until it is told to stop. token: empty if none is asked for."""

    def __init__(self, node: Node, figures: Figures, token: bytes) -> None:
        self._node = node
        self._figures = figures
        self._token = token
        settings = node.settings
        # Plain on loopback, with the certificate of the pages elsewhere.
        web = settings.web.model_copy(update={"behind_proxy": settings.operation.is_on_loopback})
        self.server = WebServer(self.app(), node.folder, web, now_ms=node.world.now_ms())

    def app(self) -> ASGIApp:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/health", self._health),
                Route("/ready", self._ready),
                Route("/metrics", self._metrics),
            ]
        )

    async def run(self, stop: trio.Event, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen and serve until `stop`. ConfigError."""
        await self.server.run(self._node.settings.operation.listen, stop, task_status=task_status)

    def _is_known(self, request: Request) -> bool:
        if not self._token:
            return True
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(shown.strip().encode(), self._token)

    async def _health(self, _request: Request) -> Response:
        return PlainTextResponse("alive\n", headers=_NO_STORE)

    async def _ready(self, request: Request) -> Response:
        checks = await look_ready(self._node)
        ready = all(found == OK for found in checks.values())
        fields: dict[str, object] = {"ready": ready}
        if self._is_known(request):
            fields["checks"] = checks
        return JSONResponse(fields, 200 if ready else 503, headers=_NO_STORE)

    async def _metrics(self, request: Request) -> Response:
        if not self._is_known(request):
            headers = {**_NO_STORE, "WWW-Authenticate": 'Bearer realm="coffre"'}
            return PlainTextResponse("a token is needed\n", 401, headers=headers)
        try:
            text = await self._figures.text()
        except StoreError:
            return PlainTextResponse("the database does not answer\n", 503, headers=_NO_STORE)
        return Response(text, media_type=CONTENT_TYPE_LATEST, headers=_NO_STORE)
