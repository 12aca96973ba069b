"""A member that is silent, writes a byte a second, or hangs up in mid-frame costs its own link and nobody else's.

Spec: spec/wire.md, 7; spec/threat-model.md.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import trio
from trio.testing import MockClock

from protocol.frames import encode_frame
from tests.post.liar import Liar, delivered_meanwhile, with_a_third

SILENT_S = 90
"""After which a link is given up (spec/wire.md, 7)."""


async def _end_s(liar: Liar) -> float:
    """Seconds until the honest side ends the link."""
    start = trio.current_time()
    with trio.fail_after(10 * SILENT_S):
        with suppress(EOFError):
            await liar.end()
    return trio.current_time() - start


async def test_silent_member_is_given_up(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with with_a_third(tmp_path) as (_, a, b, liar):
        await trio.sleep(5)
        await delivered_meanwhile(a, b)
        assert SILENT_S - 20 <= await _end_s(liar) <= 2 * SILENT_S
        await delivered_meanwhile(a, b)


async def test_member_that_writes_a_byte_a_second(autojump_clock: MockClock, tmp_path: Path) -> None:
    """It keeps its link, and 64 KiB at most of a frame that never ends; others notice nothing."""
    async with with_a_third(tmp_path) as (_, a, b, liar):
        frame = encode_frame(16, 1, bytes(60_000))

        async def drip() -> None:
            for place in range(len(frame)):
                await trio.sleep(1)
                await liar.stream.send_all(frame[place : place + 1])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(drip)
            await trio.sleep(5)
            await delivered_meanwhile(a, b)
            await trio.sleep(6 * SILENT_S)
            await delivered_meanwhile(a, b)
            nursery.cancel_scope.cancel()


async def test_member_that_hangs_up_in_mid_frame(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with with_a_third(tmp_path) as (_, a, b, liar):
        await liar.stream.send_all(encode_frame(16, 1, bytes(1000))[:500])
        await trio.aclose_forcefully(liar.stream)
        await trio.sleep(1)
        await delivered_meanwhile(a, b)
