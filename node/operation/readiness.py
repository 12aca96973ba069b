"""Whether a node can do its work now. Spec: spec/operation.md, 2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
import trio

from node.errors import StoreError
from node.operation.findings import CLOCK_BEHIND_MS
from node.vault import schema

if TYPE_CHECKING:
    from node.app import Node

__all__ = ["OK", "clock_behind_ms", "look_ready"]

OK: Final = "ok"
_ANSWERS_WITHIN_S: Final = 5


def clock_behind_ms(connection: sa.Connection, now_ms: int) -> int:
    """How far the clock is behind the newest head of the own log; negative where it is ahead, as it should be."""
    signed_at = sa.select(sa.func.max(schema.log_epochs.c.signed_at_ms))
    return int(connection.execute(signed_at).scalar_one()) - now_ms


async def look_ready(node: Node) -> dict[str, str]:
    """Each check by name: `ok`, or in a few words what is wrong."""
    now_ms = node.world.now_ms()
    checks = {"database": "does not answer", "disk": OK, "clock": "unknown", "keyring": OK}
    with trio.move_on_after(_ANSWERS_WITHIN_S):
        # A thread that hangs in the driver is left to itself: whoever asks is to have an answer.
        try:
            behind_ms = await trio.to_thread.run_sync(
                node.database.read_now, clock_behind_ms, now_ms, abandon_on_cancel=True
            )
        except StoreError:
            pass
        else:
            checks["database"] = OK
            checks["clock"] = OK if behind_ms < CLOCK_BEHIND_MS else f"{behind_ms // 1000} s behind the log"
    percent = node.disk.percent_used()
    if percent >= node.settings.limits.disk_all_percent:
        checks["disk"] = f"{percent:.0f} % used"
    if node.key_keeper.are_lost():
        checks["keyring"] = "the keys are lost"
    elif node.keyring.chain.current.valid_until_ms <= now_ms:
        checks["keyring"] = "the keys have ended"
    return checks
