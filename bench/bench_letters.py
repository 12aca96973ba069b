"""Letters between two nodes: sealed, signed, durable on both sides, evidence verified and stored by the sender."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from functools import lru_cache
from pathlib import Path
from typing import Final

import trio

from bench import postfix
from bench.bench_crypto import letter as crypto_letter_us
from bench.nodes import TwoNodes, two_nodes, wait_ended
from bench.postgresql import PostgreSql, postgresql
from bench.registry import benchmark
from node.post.compose import AttachmentSource, Draft

_WRITERS: Final = 128


def _draft(nodes: TwoNodes, text: str, attachment: Path | None) -> Draft:
    attachments: tuple[AttachmentSource, ...] = ()
    if attachment is not None:
        size = attachment.stat().st_size
        attachments = (AttachmentSource(name="document.xml", media_type="application/xml", size=size, path=attachment),)
    return Draft(sender=nodes.mailbox, to=(nodes.address,), subject="Bench", text=text, attachments=attachments)


async def _letters_per_s(count: int, text: str, attachment: Path | None, server: PostgreSql | None = None) -> float:
    async with two_nodes(server) as nodes:
        draft = _draft(nodes, text, attachment)
        await nodes.sender.submitter.submit(draft)
        await wait_ended(nodes.sender)
        numbers = iter(range(count))

        async def writer() -> None:
            for _ in numbers:
                await nodes.sender.submitter.submit(draft)

        begin = time.perf_counter()
        async with trio.open_nursery() as nursery:
            for _ in range(_WRITERS):
                nursery.start_soon(writer)
        await wait_ended(nodes.sender)
        return count / (time.perf_counter() - begin)


async def _latencies_ms(count: int) -> list[float]:
    async with two_nodes() as nodes:
        draft = _draft(nodes, "x" * 4000, None)
        taken = []
        for number in range(count + 20):
            begin = time.perf_counter()
            await nodes.sender.submitter.submit(draft)
            await wait_ended(nodes.sender, look_every_s=0.001)
            if number >= 20:  # the first ones fill caches
                taken.append((time.perf_counter() - begin) * 1000)
            await trio.sleep(0.02)
        return taken


@lru_cache(maxsize=1)
def _rate_4k() -> float:
    return trio.run(_letters_per_s, 3000, "x" * 4000, None)


@lru_cache(maxsize=1)
def _latencies() -> tuple[float, ...]:
    return tuple(trio.run(_latencies_ms, 300))


@benchmark("letters_4k_per_s", "letters/s")
def letters_4k() -> float:
    """Letters of 4 KiB from submission to verified evidence, two nodes on this machine."""
    return _rate_4k()


@benchmark("letters_4k_vs_crypto", "ratio")
def letters_4k_vs_crypto() -> float:
    """That rate over what the bare cryptography of a letter would allow on as many cores, at most two."""
    cores = min(2, os.cpu_count() or 1)
    return _rate_4k() * crypto_letter_us() / 1e6 / cores


@benchmark("letters_4k_vs_postfix", "ratio", needs=postfix.missing)
def letters_4k_vs_postfix() -> float:
    """That rate over the one of two Postfix instances relaying 4 KiB messages over TLS, on this machine."""
    return _rate_4k() / postfix.messages_per_s(2000, 4096, 20)


@benchmark("letters_4k_postgresql_per_s", "letters/s")
def letters_4k_postgresql() -> float:
    """Letters of 4 KiB, both nodes on PostgreSQL, each with a database of its own on one server that syncs."""
    with postgresql() as server:
        return trio.run(_letters_per_s, 2000, "x" * 4000, None, server)


@benchmark("letters_138k_per_s", "letters/s")
def letters_138k() -> float:
    """Letters with a 138 kB document, two nodes on this machine."""
    with tempfile.NamedTemporaryFile(suffix=".xml") as stream:
        stream.write(b"<x>" * 46_000)
        stream.flush()
        return trio.run(_letters_per_s, 1000, "Voir document.", Path(stream.name))


@benchmark("deposit_latency_ms_p50", "ms")
def latency_p50() -> float:
    """One letter of 4 KiB between idle nodes, from submission to verified evidence of deposit: median of 300."""
    return statistics.median(_latencies())


@benchmark("deposit_latency_ms_p99", "ms")
def latency_p99() -> float:
    """The same, 99th percentile of 300."""
    return statistics.quantiles(_latencies(), n=100)[98]
