"""The web server: Hypercorn on trio, over sockets that we open ourselves.

Hypercorn shields what it writes from cancellation: a client that stops reading would keep the node from stopping. The
kernel ends such connections instead (TCP_USER_TIMEOUT on the listening sockets, which accepted ones inherit); those
that read a little now and then are cut when the node stops.

Connections are accepted here, not by Hypercorn's own `serve`: there an error in one of them ends all of them, and the
node. It has such errors (0.18: a body that goes on after its answer, over HTTP/2; a path that is not ASCII). Here an
error ends the connection that it is in.
"""

from __future__ import annotations

import logging
import os
import socket
import ssl
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog
import trio
from hypercorn.config import Config
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import wrap_app
from starlette.types import ASGIApp

from node.config.values import split_endpoint
from node.config.web import WebSettings
from node.errors import ConfigError
from node.folder import Folder
from node.web.certificate import make_web_certificate
from node.web.connections import Connection
from node.web.places import Places, most_connections

__all__ = ["WebFiles", "WebServer", "web_files"]

_STALLED_MS: Final = 20_000
_BACKLOG: Final = 256
_GRACEFUL_S: Final = 3
_HANDSHAKE_S: Final = 10
_SHARE_OF_ONE: Final = 0.5
"""Of all connections: a hospital comes from one address, and so may who wants to keep it out."""
_MAX_HEADER_BYTES: Final = 16 * 1024

_logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WebFiles:
    """Certificate and key. own: made by the node itself."""

    certificate: Path
    key: Path
    own: bool


def web_files(folder: Folder, settings: WebSettings) -> WebFiles:
    """Where certificate and key lie: the operator's, else the node's own in its folder."""
    if settings.certificate_file:
        return WebFiles(folder.path / settings.certificate_file, folder.path / settings.key_file, own=False)
    return WebFiles(folder.web_certificate_file, folder.web_key_file, own=True)


class WebServer:
    """Serves an application over HTTPS until it is told to stop."""

    def __init__(self, app: ASGIApp, folder: Folder, settings: WebSettings, *, now_ms: int) -> None:
        self._app = app
        self._settings = settings
        self._files = web_files(folder, settings)
        self._now_ms = now_ms
        self._config: Config | None = None
        self._context: ssl.SSLContext | None = None
        self._checked: ssl.SSLContext | None = None

    def check_certificate(self) -> None:
        """Read certificate and key as they are on the disk now. ConfigError if they do not load or do not fit."""
        if self._config is not None:
            self._checked = _tls_context(self._config)

    def use_certificate(self) -> None:
        """New connections get the certificate that was checked last; open ones go on.

        A context is made anew and never changed: one into which a certificate was loaded without its key would serve
        nobody.
        """
        if self._checked is not None:
            self._context, self._checked = self._checked, None

    async def run(
        self, listen: str, stop: trio.Event, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Listen and serve until `stop`; `task_status` is started with the address in use. ConfigError.

        Plain HTTP where [web] behind_proxy says so: on loopback alone, which the settings hold it to.
        """
        plain = self._settings.behind_proxy
        if self._files.own and not plain and not self._files.certificate.exists():
            names = self._settings.host_names(listen)
            make_web_certificate(self._files.certificate, self._files.key, names, now_ms=self._now_ms)
        listening = _open_socket(listen)
        host, port = listening.getsockname()[:2]
        config = Config()
        config.bind = [f"fd://{listening.detach()}"]
        if not plain:
            config.certfile, config.keyfile = str(self._files.certificate), str(self._files.key)
        config.include_server_header = False
        config.accesslog = None
        config.errorlog = logging.getLogger("hypercorn")
        config.ssl_handshake_timeout = _HANDSHAKE_S
        config.h11_max_incomplete_size = _MAX_HEADER_BYTES
        config.h2_max_header_list_size = _MAX_HEADER_BYTES
        try:
            self._context = _tls_context(config)
        except ConfigError:
            os.close(int(config.bind[0].removeprefix("fd://")))
            raise
        self._config = config
        async with trio.open_nursery() as nursery:
            await nursery.start(self._serve, config, stop)
            task_status.started(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")

    async def _serve(self, config: Config, stop: trio.Event, *, task_status: trio.TaskStatus[None]) -> None:
        """Accept connections until `stop`; those that are open then have some seconds to end."""
        app = wrap_app(self._app, config.wsgi_max_body_size, "asgi")  # type: ignore[arg-type]
        context = WorkerContext(None)

        # Behind a reverse proxy, which has its own limits, all come from one address.
        places = Places(most_connections(), share=None if self._settings.behind_proxy else _SHARE_OF_ONE)

        async def connection(accepted: trio.SocketStream) -> None:
            tls = self._context
            stream: Any = accepted
            if tls is not None:
                stream = trio.SSLStream(accepted, tls, server_side=True, https_compatible=True)
            with places.one(accepted) as has_room:
                if not has_room:
                    await trio.aclose_forcefully(accepted)
                    return
                try:
                    await Connection(app, config, context, ConnectionState({}), stream)
                except* Exception as group:
                    # The kinds of the errors, not their texts, which may hold what somebody sent.
                    _logger.warning("a connection failed", kind=_kinds(group))

        sockets = config.create_sockets()
        listeners = [
            trio.SocketListener(trio.socket.from_stdlib_socket(one))
            for one in (*sockets.secure_sockets, *sockets.insecure_sockets)
        ]
        async with trio.open_nursery() as connections:
            try:
                async with trio.open_nursery() as accepting:
                    await accepting.start(
                        partial(trio.serve_listeners, connection, listeners, handler_nursery=connections)
                    )
                    task_status.started()
                    await stop.wait()
                    accepting.cancel_scope.cancel()
                await context.terminated.set()
                with trio.move_on_after(_GRACEFUL_S):
                    await places.empty()
                connections.cancel_scope.cancel()
            finally:
                places.cut()


def _tls_context(config: Config) -> ssl.SSLContext | None:
    """With certificate and key as they are on the disk now; None without a certificate. ConfigError."""
    try:
        return config.create_ssl_context()
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"the certificate or key of the pages does not load: {error}", hint="see [web] in coffre.toml"
        ) from error


def _kinds(group: BaseExceptionGroup[BaseException]) -> str:
    """The names of the errors in a group, each once."""
    kinds: dict[str, None] = {}
    for error in group.exceptions:
        kinds[_kinds(error) if isinstance(error, BaseExceptionGroup) else type(error).__name__] = None
    return ", ".join(kinds)


def _open_socket(listen: str) -> socket.socket:
    host, port = split_endpoint(listen)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            None if host == "*" else host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"cannot listen on {listen}: {error.strerror}") from error
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _STALLED_MS)
        made.bind(address)
        made.listen(_BACKLOG)
        made.setblocking(False)
    except OSError as error:
        made.close()
        raise ConfigError(f"cannot listen on {listen}: {os.strerror(error.errno or 0)}") from error
    return made
