"""What those who run the demo's hospital see: figures, health, an alarm that reaches them. Spec: spec/operation.md."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from node.app import Node
from node.errors import CoffreError, StateError
from node.operation.alarm_texts import alarm_title
from node.operation.findings import AlarmCode
from protocol.crypto import Secret

__all__ = ["ALARMS_TO", "WRONG_LOG_INS", "operation_scene", "operation_settings"]

ALARMS_TO: Final = "exploitation@tilleuls.example"
WRONG_LOG_INS: Final = 3
"""So many within an hour are an alarm of the demo. Two fewer than lock a mailbox."""


def operation_settings(text: str, listen: str) -> str:
    """The settings' file, with a place for figures and somebody to tell of alarms."""
    before, head, after = text.partition("\n[operation]\n")
    after = after.replace('listen = ""', f'listen = "{listen}"', 1).replace("email = []", f'email = ["{ALARMS_TO}"]', 1)
    return before + head + after.replace("failed_log_ins = 20", f"failed_log_ins = {WRONG_LOG_INS}", 1)


async def operation_scene(
    node: Node, address: str, mails_to: Callable[[str], Awaitable[str]], tell: Callable[[str], None]
) -> None:
    """Ask a running node as a monitoring system does; then somebody types wrong passwords, and the operator is told.

    address: of a mailbox. mails_to: waits for a mail to somebody, and returns its subject. StateError if anything is
    not as it must be.
    """
    operation = node.operation
    if operation is None:
        raise StateError("the node does not run")
    async with httpx2.AsyncClient(base_url=f"http://{operation.listening_on}", trust_env=False) as client:
        ready = (await client.get("/ready")).json()
        if not ready["ready"]:
            raise StateError(f"the node is not ready: {ready['checks']}")
        tell(f"ready: {', '.join(ready['checks'])}")
        page = (await client.get("/metrics")).text
        figures = _figures(page)
        entries = figures["coffre_log_entries", ""]
        waiting = sum(value for (name, _), value in figures.items() if name == "coffre_outbox_letters")
        if not entries or "@" in page:
            raise StateError("the figures are not those of this node, or name somebody")
        tell(f"{len(figures)} figures for Prometheus: {entries:.0f} events in the log, {waiting:.0f} letters waiting")
        for _ in range(WRONG_LOG_INS):
            try:
                await node.mailboxes.open(address, Secret(b"a wrong password"))
            except CoffreError:
                continue
            raise StateError("a wrong password opened a mailbox")
        await operation.watch.look()
        subject = await mails_to(ALARMS_TO)
    if not (await node.database.read(node.operator_alarms.open_by_code))[AlarmCode.FAILED_LOG_INS.value]:
        raise StateError("the alarm is not on record")
    title = alarm_title(AlarmCode.FAILED_LOG_INS, "en")
    tell(f"{WRONG_LOG_INS} wrong passwords: the alarm « {title} » went to {ALARMS_TO}: « {subject} »")


def _figures(page: str) -> dict[tuple[str, str], float]:
    """Each sample by its name and its labels' values."""
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }
