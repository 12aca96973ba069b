"""The web server: Hypercorn on trio, over sockets that we open ourselves.

Hypercorn shields what it writes from cancellation: a client that stops reading would keep the node from stopping. The
kernel ends such connections instead (TCP_USER_TIMEOUT on the listening sockets, which accepted ones inherit).
"""

from __future__ import annotations

import logging
import os
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from starlette.types import ASGIApp

from node.config import WebSettings, split_endpoint
from node.errors import ConfigError
from node.folder import Folder
from node.web.certificate import make_web_certificate

__all__ = ["WebFiles", "WebServer", "web_files"]

_STALLED_MS: Final = 20_000
_BACKLOG: Final = 256
_GRACEFUL_S: Final = 3
_MAX_HEADER_BYTES: Final = 16 * 1024


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


class _Config(Config):
    """Hypercorn's, with one TLS context for all of its life: certificates are changed in it."""

    context: ssl.SSLContext | None = None

    def create_ssl_context(self) -> ssl.SSLContext | None:
        if self.context is None:
            self.context = super().create_ssl_context()
        return self.context


class WebServer:
    """Serves an application over HTTPS until it is told to stop."""

    def __init__(self, app: ASGIApp, folder: Folder, settings: WebSettings, *, now_ms: int) -> None:
        self._app = app
        self._settings = settings
        self._files = web_files(folder, settings)
        self._now_ms = now_ms
        self._context: ssl.SSLContext | None = None

    def check_certificate(self) -> None:
        """Read certificate and key as they are on the disk now. ConfigError if they do not load."""
        if self._context is not None:
            self._load(ssl.create_default_context(ssl.Purpose.CLIENT_AUTH))

    def use_certificate(self) -> None:
        """New connections get the certificate that is on the disk now; open ones go on. ConfigError."""
        if self._context is not None:
            self._load(self._context)

    def _load(self, context: ssl.SSLContext) -> None:
        try:
            context.load_cert_chain(self._files.certificate, self._files.key)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"the certificate or key of the pages does not load: {error}", hint="see [web] in coffre.toml"
            ) from error

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
        config = _Config()
        config.bind = [f"fd://{listening.detach()}"]
        if not plain:
            config.certfile, config.keyfile = str(self._files.certificate), str(self._files.key)
        config.include_server_header = False
        config.accesslog = None
        config.errorlog = logging.getLogger("hypercorn")
        config.graceful_timeout = _GRACEFUL_S
        config.h11_max_incomplete_size = _MAX_HEADER_BYTES
        config.h2_max_header_list_size = _MAX_HEADER_BYTES
        try:
            self._context = config.create_ssl_context()
        except (OSError, ssl.SSLError) as error:
            os.close(int(config.bind[0].removeprefix("fd://")))
            raise ConfigError(
                f"the certificate or key of the pages does not load: {error}", hint="see [web] in coffre.toml"
            ) from error
        async with trio.open_nursery() as nursery:
            await nursery.start(self._serve, config, stop)
            task_status.started(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")

    async def _serve(self, config: Config, stop: trio.Event, *, task_status: trio.TaskStatus[object]) -> None:
        await serve(self._app, config, shutdown_trigger=stop.wait, task_status=task_status, mode="asgi")  # type: ignore[arg-type]


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
