"""Who asks, where a reverse proxy stands between: believed from proxies that the settings name, from nobody else.

Spec: spec/web.md, 9.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from node.config.web import WebSettings

__all__ = ["ProxyHeaders"]

_LOOPBACK: Final = ("127.0.0.0/8", "::1/128")
_MAX_HOPS: Final = 10


class ProxyHeaders:
    """Wraps an application: sets the client and the scheme of each request as a trusted proxy tells them."""

    def __init__(self, app: ASGIApp, settings: WebSettings) -> None:
        self._app = app
        self._behind = settings.behind_proxy
        self._url = settings.url
        trusted: Sequence[str] = settings.trusted_proxies
        if settings.behind_proxy:
            trusted = (*trusted, *_LOOPBACK)
        self._trusted = [ipaddress.ip_network(item) for item in trusted]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "http":
            headers, client, scheme = Headers(scope=scope), scope.get("client"), ""
            if client is not None and self._is_trusted(client[0]):
                told = self._client(headers.getlist("x-forwarded-for"))
                scheme = headers.get("x-forwarded-proto", "").rpartition(",")[2].strip().lower()
                scope = {**scope, "client": (told or client[0], 0 if told else client[1])}
                if scheme in ("http", "https"):
                    scope["scheme"] = scheme
            if self._behind and scheme != "https":
                await self._to_https(scope, receive, send, scheme)
                return
        await self._app(scope, receive, send)

    async def _to_https(self, scope: Scope, receive: Receive, send: Send, scheme: str) -> None:
        """What came to the proxy without TLS is not answered: a password may be in it already."""
        if scheme == "http" and scope["method"] in ("GET", "HEAD"):
            path = (scope.get("raw_path") or b"/").decode("ascii", "replace")
            await RedirectResponse(self._url + path, 308)(scope, receive, send)
            return
        message = "over HTTPS only: the reverse proxy has to send X-Forwarded-Proto: https\n"
        await PlainTextResponse(message, 403)(scope, receive, send)

    def _client(self, values: Sequence[str]) -> str:
        """The nearest address that is no trusted proxy's: what is further left anybody may have written."""
        hops = [hop.strip() for value in values for hop in value.split(",")]
        found = ""
        for hop in reversed(hops[-_MAX_HOPS:]):
            address = _without_port(hop)
            if not address:
                break
            found = address
            if not self._is_trusted(address):
                break
        return found

    def _is_trusted(self, text: str) -> bool:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return any((mapped or address) in network for network in self._trusted)


def _without_port(hop: str) -> str:
    """An address as proxies write it: with a port, in brackets, or bare; empty for anything else."""
    text = hop
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""
