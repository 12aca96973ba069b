"""A browser without a window that writes letters."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

import httpx2

from node.vault.access import OpenMailbox
from tests.web.people import form_token

__all__ = ["Writer", "start_writing"]

_FILE = re.compile(r"/file/([0-9a-f]{32})/remove")
_VERSION = re.compile(r'id="version" value="(\d+)"')


@dataclass(frozen=True, slots=True)
class Writer:
    """One writing page. path: of the draft."""

    client: httpx2.AsyncClient
    path: str
    csrf: str

    async def page(self) -> str:
        """The page as it is now."""
        return (await self.client.get(self.path)).text

    async def save(self, *, as_script: bool = True, **fields: str) -> httpx2.Response:
        """Save what the form holds."""
        headers = {"HX-Request": "true"} if as_script else {}
        return await self.client.post(self.path, data={"csrf": self.csrf, **fields}, headers=headers)

    async def send(self, **fields: str) -> httpx2.Response:
        """Press the button."""
        return await self.client.post(f"{self.path}/send", data={"csrf": self.csrf, **fields})

    async def attach(
        self, name: str, data: bytes | AsyncIterator[bytes], headers: dict[str, str] | None = None
    ) -> httpx2.Response:
        """Send a file as the script does."""
        return await self.client.put(
            f"{self.path}/file",
            params={"name": name},
            content=data,
            headers={"X-Coffre-Form": self.csrf, **(headers or {})},
            timeout=600,
        )

    async def post(self, deed: str, **fields: str) -> httpx2.Response:
        """Another button."""
        return await self.client.post(f"{self.path}/{deed}", data={"csrf": self.csrf, **fields})

    async def files(self) -> list[str]:
        """The ids of the files that the page lists."""
        return _FILE.findall(await self.page())

    async def version(self) -> str:
        """The version that a page loaded now has."""
        found = _VERSION.search(await self.page())
        assert found is not None
        return found[1]


async def start_writing(client: httpx2.AsyncClient, mailbox: OpenMailbox) -> Writer:
    """Open a new letter, in English unless the client asks for another language."""
    client.headers.setdefault("accept-language", "en")
    page = await client.get(f"/box/{mailbox.id.hex()}/write", follow_redirects=True)
    assert page.status_code == 200, page.text
    return Writer(client, page.url.path, form_token(page.text))


def joined(parts: Iterable[bytes]) -> bytes:
    """Bytes of pieces."""
    return b"".join(parts)
