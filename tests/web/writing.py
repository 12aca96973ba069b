"""A browser without a window that writes letters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import httpx2

from node.vault.access import OpenMailbox
from tests.web.people import form_token

__all__ = ["Writer", "send_whole", "start_writing"]

_FILE = re.compile(r"/file/([0-9a-f]{32})/remove")
_VERSION = re.compile(r'id="version" value="(\d+)"')


class _Pieces(httpx2.AsyncByteStream):
    """A body that may be left unread: httpx2's own complain of it."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def __aiter__(self) -> _Pieces:
        return self

    async def __anext__(self) -> bytes:
        for piece in self._pieces:
            return piece
        raise StopAsyncIteration


async def send_whole(
    client: httpx2.AsyncClient, request: httpx2.Request, pieces: Iterable[bytes] | None = None
) -> httpx2.Response:
    """Send a request whose answer may come before its body was read. pieces: the body, if it is not the request's."""
    if pieces is None:
        pieces = [await request.aread()]
    elif "content-length" not in request.headers or not isinstance(pieces, list):
        request.headers.pop("content-length", None)
        request.headers["transfer-encoding"] = "chunked"
    request.stream = _Pieces(iter(pieces))
    return await client.send(request)


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

    async def attach(self, name: str, data: bytes | Iterable[bytes], **headers: str) -> httpx2.Response:
        """Send a file as the script does; as pieces, its length is not told."""
        request = self.client.build_request(
            "PUT",
            f"{self.path}/file",
            params={"name": name},
            content=data if isinstance(data, bytes) else None,
            headers={"X-Coffre-Form": self.csrf, **headers},
            timeout=600,
        )
        return await send_whole(self.client, request, [data] if isinstance(data, bytes) else data)

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
