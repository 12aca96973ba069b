"""From which networks the staff's pages answer, and whether they do at all. Spec: spec/staff.md, 3."""

from __future__ import annotations

import ipaddress

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from node.config.web import WebSettings
from node.web.staff.door import STAFF_PATH

__all__ = ["StaffGate"]


class StaffGate:
    """Wraps the application: for everybody else there is nothing below /staff."""

    def __init__(self, app: ASGIApp, settings: WebSettings) -> None:
        self._app = app
        self._open = settings.staff
        self._networks = [ipaddress.ip_network(item) for item in settings.staff_from]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "http" and _is_staffs(scope["path"]) and not self._lets_in(scope.get("client")):
            await PlainTextResponse("not found\n", 404)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _lets_in(self, client: tuple[str, int] | None) -> bool:
        if not self._open or not self._networks:
            return self._open
        try:
            address = ipaddress.ip_address("" if client is None else client[0])
        except ValueError:
            return False
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return any((mapped or address) in network for network in self._networks)


def _is_staffs(path: str) -> bool:
    return path == STAFF_PATH or path.startswith(f"{STAFF_PATH}/")
