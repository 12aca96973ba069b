"""A very large attachment: from submission to verified evidence, beside what a bare TLS stream does on this machine."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Final

import trio

from bench.nodes import TwoNodes, forget_peak_memory, in_fresh_process, memory_mb, two_nodes, wait_ended
from bench.registry import benchmark
from node.post.compose import AttachmentSource, Draft
from node.post.network import TlsNetwork
from protocol.certificate import build_certificate
from protocol.crypto import SigningSecret

_GIB: Final = 1024**3
_PIECE_BYTES: Final = 256 * 1024
_MANY: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Transfer:
    seconds: float
    sealing_seconds: float
    sender_mb: float
    recipient_mb: float


def _source(path: Path, name: str) -> AttachmentSource:
    return AttachmentSource(name=name, media_type="application/dicom", size=path.stat().st_size, path=path)


async def _send(nodes: TwoNodes, attachments: tuple[AttachmentSource, ...]) -> _Transfer:
    draft = Draft(sender=nodes.mailbox, to=(nodes.address,), subject="Imagerie", text="", attachments=attachments)
    for pid in (os.getpid(), nodes.recipient_process.pid):
        forget_peak_memory(pid)
    begin = time.perf_counter()
    await nodes.sender.submitter.submit(draft)
    sealed = time.perf_counter()
    await wait_ended(nodes.sender, within_s=1800)
    return _Transfer(
        seconds=time.perf_counter() - begin,
        sealing_seconds=sealed - begin,
        sender_mb=memory_mb(os.getpid(), "VmHWM"),
        recipient_mb=memory_mb(nodes.recipient_process.pid, "VmHWM"),
    )


def _one_large() -> _Transfer:
    async def run() -> _Transfer:
        with tempfile.NamedTemporaryFile(prefix="coffre-bench-") as stream:
            piece = os.urandom(_PIECE_BYTES)
            for _ in range(_GIB // _PIECE_BYTES):
                stream.write(piece)
            stream.flush()
            async with two_nodes() as nodes:
                return await _send(nodes, (_source(Path(stream.name), "serie.dcm"),))

    return trio.run(run)


def _many_small() -> _Transfer:
    async def run() -> _Transfer:
        with tempfile.NamedTemporaryFile(prefix="coffre-bench-") as stream:
            stream.write(os.urandom(1000))
            stream.flush()
            sources = tuple(_source(Path(stream.name), f"image-{number:05d}.dcm") for number in range(_MANY))
            async with two_nodes() as nodes:
                return await _send(nodes, sources)

    return trio.run(run)


@lru_cache(maxsize=1)
def _large() -> _Transfer:
    return in_fresh_process(_one_large)


@lru_cache(maxsize=1)
def _many() -> _Transfer:
    return in_fresh_process(_many_small)


_SECRETS: Final = (SigningSecret(bytes([1]) * 32), SigningSecret(bytes([2]) * 32))


def _network(own: SigningSecret, other: SigningSecret) -> TlsNetwork:
    network = TlsNetwork(own)
    network.pin([build_certificate(other)])
    return network


def _sink(pipe: Pipe) -> None:
    """Accepts one stream, reads it to its end, says when it has all of it."""

    async def run() -> None:
        async def accept(tcp: trio.SocketStream) -> None:
            stream = trio.SSLStream(tcp, _network(_SECRETS[1], _SECRETS[0]).contexts()[1], server_side=True)
            left = _GIB
            while left > 0:
                left -= len(await stream.receive_some(_PIECE_BYTES))
            await stream.send_all(b"x")
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(trio.serve_tcp, accept, 0)
            pipe.send(listeners[0].socket.getsockname()[1])

    trio.run(run)


@lru_cache(maxsize=1)
def _tls_seconds() -> float:
    """One GiB through a bare SSLStream of trio, in pieces of 64 KiB, from one process to another."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_sink, args=(theirs,))
    process.start()
    port: int = ours.recv()

    async def run() -> float:
        tcp = await trio.open_tcp_stream("localhost", port)
        stream = trio.SSLStream(tcp, _network(_SECRETS[0], _SECRETS[1]).contexts()[0])
        piece = bytes(64 * 1024)
        begin = time.perf_counter()
        for _ in range(_GIB // len(piece)):
            await stream.send_all(piece)
        await stream.receive_some(1)
        return time.perf_counter() - begin

    try:
        return trio.run(run)
    finally:
        process.join()


@benchmark("attachment_1g_vs_tls", "ratio")
def attachment_vs_tls() -> float:
    """Rate of an attachment of 1 GiB from submission to verified evidence, over the rate of a bare TLS stream."""
    return _tls_seconds() / _large().seconds


@benchmark("attachment_1g_transfer_vs_tls", "ratio")
def transfer_vs_tls() -> float:
    """The same without sealing: from accepted to verified evidence."""
    transfer = _large()
    return _tls_seconds() / (transfer.seconds - transfer.sealing_seconds)


@benchmark("attachment_1g_mb_per_s", "MB/s")
def attachment_rate() -> float:
    """Rate of an attachment of 1 GiB from submission to verified evidence."""
    return _GIB / 1e6 / _large().seconds


@benchmark("attachment_peak_rss_mb", "MB")
def attachment_memory() -> float:
    """Peak memory of the larger of the two processes while 1 GiB is sealed, sent and deposited."""
    transfer = _large()
    return max(transfer.sender_mb, transfer.recipient_mb)


@benchmark("attachments_10k_peak_rss_mb", "MB")
def many_memory() -> float:
    """Peak memory of the larger of the two processes for one letter with 10,000 attachments."""
    transfer = _many()
    return max(transfer.sender_mb, transfer.recipient_mb)
