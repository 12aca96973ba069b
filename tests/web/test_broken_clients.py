"""Clients that break the rules of HTTP, or leave: each ends its own connection, and nobody else's."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import httpx2
import pytest
import trio

from node.app import Node
from node.web.guard import MAX_BODY_BYTES
from tests.web.published import made_node, running_node

FORM = [(b"content-type", b"application/x-www-form-urlencoded")]
_FRAME = bytes(16_384)


class Browser:
    """A connection over HTTP/2 on which anything can be sent."""

    def __init__(self, stream: trio.SSLStream[trio.SocketStream]) -> None:
        self._stream = stream
        settings = h2.config.H2Configuration(validate_outbound_headers=False, header_encoding=None)
        self.http = h2.connection.H2Connection(settings)
        self.http.initiate_connection()

    async def flush(self) -> None:
        await self._stream.send_all(self.http.data_to_send())

    async def events(self) -> list[h2.events.Event]:
        """What comes next; nothing once the other side has closed."""
        try:
            data = await self._stream.receive_some()
        except trio.BrokenResourceError:
            return []
        return self.http.receive_data(data) if data else []

    async def ask(self, path: bytes, *, method: bytes = b"POST") -> int:
        """Begin a request. Returns its stream."""
        stream = self.http.get_next_available_stream_id()
        head = [(b":method", method), (b":scheme", b"https"), (b":authority", b"node.example"), (b":path", path)]
        self.http.send_headers(stream, head + FORM)
        await self.flush()
        return stream

    async def status(self, stream: int) -> bytes:
        """The status of the answer, once it is whole."""
        found = b""
        while True:
            for event in await self.events():
                if isinstance(event, h2.events.ResponseReceived) and event.stream_id == stream:
                    found = dict(event.headers)[b":status"]
                elif isinstance(event, h2.events.StreamEnded) and event.stream_id == stream:
                    return found
            await self.flush()

    async def closed(self) -> None:
        """Wait until the other side has closed."""
        while await self.events():
            pass


@asynccontextmanager
async def browser_of(node: Node) -> AsyncIterator[Browser]:
    """One that is connected to the node's pages, whatever their certificate."""
    host, port = node.web_listening_on.rsplit(":", 1)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    stream = trio.SSLStream(await trio.open_tcp_stream(host, int(port)), context, https_compatible=True)
    async with stream:
        await stream.do_handshake()
        assert stream.selected_alpn_protocol() == "h2"
        with trio.fail_after(30):
            yield Browser(stream)


async def still_works(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/login")).status_code == 200


async def test_a_body_that_goes_on_after_it_was_refused_ends_nothing(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node", settings='listen = "127.0.0.1:0"\n')
    async with running_node(folder) as (node, client):
        async with browser_of(node) as browser:
            stream = await browser.ask(b"/login")
            # As much as may be sent before the other side says more: a little over what a form may have.
            left = MAX_BODY_BYTES - 1
            while left:
                left -= (piece := min(left, len(_FRAME)))
                browser.http.send_data(stream, _FRAME[:piece])
                await browser.flush()
            while browser.http.local_flow_control_window(stream) < len(_FRAME):
                await browser.events()
            browser.http.send_data(stream, _FRAME)
            await browser.flush()
            assert await browser.status(stream) == b"413"
            # The browser had more on its way.
            for _ in range(3):
                browser.http.send_data(stream, _FRAME[:1000])
                await browser.flush()
            # The same connection serves the next request: the refusal is all that was lost.
            other = await browser.ask(b"/login", method=b"GET")
            browser.http.end_stream(other)
            await browser.flush()
            assert await browser.status(other) == b"200"
        await still_works(client)


@pytest.mark.parametrize("path", [b"/caf\xe9", b"/\xff\xfe"])
async def test_a_request_that_is_no_http_ends_its_connection_alone(tmp_path: Path, path: bytes) -> None:
    folder = await made_node(tmp_path / "node", settings='listen = "127.0.0.1:0"\n')
    async with running_node(folder) as (node, client):
        async with browser_of(node) as browser:
            await browser.ask(path)
            await browser.closed()
        await still_works(client)
