"""TLS that reads many records a turn: over memory streams, with the certificates that links use."""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from node.post.network import TlsNetwork
from node.post.tls_stream import TlsStream
from protocol.certificate import build_certificate
from protocol.crypto import SigningSecret

CLIENT, SERVER, STRANGER = (SigningSecret(bytes([number]) * 32) for number in (1, 2, 3))


def contexts(client: SigningSecret = CLIENT) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What a dialling and an accepting node use; the server knows CLIENT alone."""
    dialling, accepting = TlsNetwork(client), TlsNetwork(SERVER)
    dialling.pin([build_certificate(SERVER)])
    accepting.pin([build_certificate(CLIENT)])
    return dialling.contexts()[0], accepting.contexts()[1]


MemoryStream = trio.StapledStream[trio.testing.MemorySendStream, trio.testing.MemoryReceiveStream]
Ends = tuple[MemoryStream, MemoryStream]


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[TlsStream, TlsStream, Ends]]:
    ours, theirs = trio.testing.memory_stream_pair()
    dialling, accepting = contexts()
    client = TlsStream(ours, dialling, server_side=False)
    server = TlsStream(theirs, accepting, server_side=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.do_handshake)
        nursery.start_soon(server.do_handshake)
    yield client, server, (ours, theirs)


async def read_all(stream: TlsStream, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = await stream.receive_some(count - len(data))
        assert piece
        data += piece
    return data


async def test_both_ways_at_once_and_whole() -> None:
    async with connected() as (client, server, _):
        assert client.alpn_protocol() == server.alpn_protocol() == "coffre/1"
        assert client.peer_certificate() == build_certificate(SERVER)
        up, down = os.urandom(3_000_001), os.urandom(1_000_003)
        got: dict[str, bytes] = {}

        async def receive(name: str, stream: TlsStream, count: int) -> None:
            got[name] = await read_all(stream, count)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.send_all, up)
            nursery.start_soon(server.send_all, down)
            nursery.start_soon(receive, "up", server, len(up))
            nursery.start_soon(receive, "down", client, len(down))
        assert got == {"up": up, "down": down}


async def test_many_records_come_at_once_but_no_more_than_asked_for() -> None:
    async with connected() as (client, server, _):
        data = os.urandom(200_000)  # thirteen records
        await client.send_all(data)
        assert await server.receive_some(150_000) == data[:150_000]
        assert await server.receive_some() == data[150_000:]


async def test_an_end_that_was_said_is_an_end() -> None:
    async with connected() as (client, server, _):
        await client.send_all(b"last words")
        await client.aclose()
        assert await server.receive_some() == b"last words"
        assert await server.receive_some() == b""


async def test_a_cut_is_not_taken_for_an_end() -> None:
    async with connected() as (client, server, (ours, _)):
        await client.send_all(b"half of")
        await ours.aclose()
        assert await server.receive_some() == b"half of"
        with pytest.raises(trio.BrokenResourceError):
            await server.receive_some()


async def test_a_changed_byte_breaks_the_stream() -> None:
    """The whole stream is broken, not only the record: nothing after it is given out."""
    async with connected() as (client, server, (ours, theirs)):
        ours.send_stream.send_all_hook = None
        await client.send_all(b"x" * 100)
        raw = bytearray(ours.send_stream.get_data_nowait())
        raw[-1] ^= 1
        await client.send_all(b"y" * 100)
        theirs.receive_stream.put_data(raw + ours.send_stream.get_data_nowait())
        for _ in range(2):
            with pytest.raises(trio.BrokenResourceError):
                await server.receive_some()


async def test_a_stranger_is_told_no() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    dialling, accepting = contexts(STRANGER)
    client = TlsStream(ours, dialling, server_side=False)
    server = TlsStream(theirs, accepting, server_side=True)

    async def dial() -> None:
        # In TLS 1.3 the client is done before the server has seen its certificate; it learns of the refusal on reading.
        await client.do_handshake()
        with pytest.raises(trio.BrokenResourceError) as refused:
            await client.receive_some()
        assert isinstance(refused.value.__cause__, ssl.SSLError)

    async def accept() -> None:
        with pytest.raises(trio.BrokenResourceError) as refused:
            await server.do_handshake()
        assert isinstance(refused.value.__cause__, ssl.SSLError)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(dial)
        nursery.start_soon(accept)


async def _is_taken(dialling: ssl.SSLContext, accepting: ssl.SSLContext) -> bool:
    """Whether the accepting side takes the certificate of who dials."""
    ours, theirs = trio.testing.memory_stream_pair()
    client = TlsStream(ours, dialling, server_side=False)
    server = TlsStream(theirs, accepting, server_side=True)
    taken = False
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.do_handshake)
        try:
            await server.do_handshake()
            taken = True
        except trio.BrokenResourceError:
            nursery.cancel_scope.cancel()
    return taken


async def test_pins_come_and_go_while_the_node_runs() -> None:
    """One that comes is added to what is there; of one that goes nothing is left."""
    one, other = build_certificate(CLIENT), build_certificate(STRANGER)
    accepting = TlsNetwork(SERVER)
    dialling = [TlsNetwork(secret) for secret in (CLIENT, STRANGER)]
    for network in dialling:
        network.pin([build_certificate(SERVER)])

    async def taken() -> list[bool]:
        return [await _is_taken(network.contexts()[0], accepting.contexts()[1]) for network in dialling]

    accepting.pin([one])
    before = accepting.contexts()
    assert await taken() == [True, False]
    accepting.pin([one, other])
    assert accepting.contexts() == before, "the certificates that were there are not read again"
    assert await taken() == [True, True]
    accepting.pin([other])
    assert await taken() == [False, True]
