"""Clients that break the rules of HTTP, or leave: each ends its own connection, and nobody else's."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import httpx2
import pytest
import trio
import trio.testing

from node.app import Node
from node.web.guard import MAX_BODY_BYTES
from node.web.static_files import StaticFiles
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
async def tls_to(
    node: Node, protocol: str = "http/1.1", *, from_address: str = "127.0.0.1"
) -> AsyncIterator[trio.SSLStream[trio.SocketStream]]:
    """A connection to the node's pages, whatever their certificate."""
    host, port = node.web_listening_on.rsplit(":", 1)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    tcp = await trio.open_tcp_stream(host, int(port), local_address=from_address)
    stream = trio.SSLStream(tcp, context, https_compatible=True)
    async with stream:
        await stream.do_handshake()
        assert stream.selected_alpn_protocol() == protocol
        with trio.fail_after(30):
            yield stream


@asynccontextmanager
async def browser_of(node: Node) -> AsyncIterator[Browser]:
    """One that speaks HTTP/2."""
    async with tls_to(node, "h2") as stream:
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


async def _received(stream: trio.SSLStream[trio.SocketStream]) -> bytes:
    """All that comes until the other side closes."""
    data = b""
    with suppress(trio.BrokenResourceError):
        while piece := await stream.receive_some():
            data += piece
    return data


async def test_an_upload_that_nobody_reads_waits_for_nothing(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node", settings='listen = "127.0.0.1:0"\n')
    head = b"POST /box/0/drafts HTTP/1.1\r\nHost: node.example\r\nContent-Length: 99999999\r\n\r\n"
    async with running_node(folder) as (node, client):
        async with tls_to(node) as stream:
            # Far more than the server keeps for an application that has answered without reading.
            with suppress(trio.BrokenResourceError):
                await stream.send_all(head)
                while True:
                    await stream.send_all(_FRAME)
        async with browser_of(node) as browser:
            request = await browser.ask(b"/box/0/drafts")
            while browser.http.local_flow_control_window(request) >= len(_FRAME):
                browser.http.send_data(request, _FRAME)
                await browser.flush()
            assert await browser.status(request) == b"405"
        await still_works(client)


@pytest.mark.parametrize(
    "asked",
    [
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    ],
)
async def test_no_other_protocol_is_taken_up_on_the_way(tmp_path: Path, asked: bytes) -> None:
    folder = await made_node(tmp_path / "node", settings='listen = "127.0.0.1:0"\n')
    async with running_node(folder) as (node, _), tls_to(node) as stream:
        await stream.send_all(b"GET /login HTTP/1.1\r\nHost: node.example\r\n" + asked + b"\r\n")
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 200 ")


async def test_who_takes_all_places_keeps_nobody_else_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.web.server.most_connections", lambda: 4)
    folder = await made_node(tmp_path / "node", settings='listen = "127.0.0.1:0"\n')
    async with running_node(folder) as (node, _), tls_to(node), tls_to(node):
        # Half of all places are for one address.
        host, port = node.web_listening_on.rsplit(":", 1)
        async with await trio.open_tcp_stream(host, int(port)) as refused:
            assert await refused.receive_some() == b""
        async with tls_to(node, from_address="127.0.0.2") as elsewhere:
            await elsewhere.send_all(b"GET /login HTTP/1.1\r\nHost: node.example\r\n\r\n")
            assert (await elsewhere.receive_some()).startswith(b"HTTP/1.1 200 ")


async def test_who_reads_nothing_does_not_keep_the_node_from_stopping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.web.server._GRACEFUL_S", 0)
    monkeypatch.setattr("node.web.server._STALLED_MS", 3_600_000)
    folder = await made_node(tmp_path / "node", settings='listen = "127.0.0.1:0"\n')
    path = StaticFiles().url("vendor/htmx-4.0.1.min.js").encode()
    ask = b"GET " + path + b" HTTP/1.1\r\nHost: node.example\r\n\r\n"
    async with trio.open_nursery() as nursery:
        asked = trio.Event()

        async def read_nothing(node: Node) -> None:
            async with tls_to(node) as stream:
                # More than the kernel keeps for who does not read.
                await stream.send_all(400 * ask)
                asked.set()
                await trio.sleep_forever()

        with trio.fail_after(30):
            async with running_node(folder) as (node, _):
                nursery.start_soon(read_nothing, node)
                await asked.wait()
                await trio.testing.wait_all_tasks_blocked(0.1)
        nursery.cancel_scope.cancel()
