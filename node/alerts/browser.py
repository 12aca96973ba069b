"""Whether an open page should notify of a letter. Spec: spec/alerts.md, 2."""

from __future__ import annotations

import sqlalchemy as sa

from node.vault import schema
from node.vault.alert_queue import AlertQueue
from node.vault.origins import read_slip
from node.vault.sealing import RowKeys
from node.world import World
from protocol.ids import MailboxId
from protocol.letter import LetterClass

__all__ = ["BrowserAlerts"]


class BrowserAlerts:
    """Looks at what the mailbox's person chose, each time: nothing is queued for a browser."""

    def __init__(self, keys: RowKeys, alerts: AlertQueue, world: World) -> None:
        self._keys = keys
        self._alerts = alerts
        self._world = world

    def wants(self, connection: sa.Connection, mailbox: MailboxId, row: bytes) -> bool:
        """Whether a notification is wanted now for the letter in this row of the mailbox's inbox."""
        _, preferences = self._alerts.preferences(connection, mailbox)
        if not preferences.browser:
            return False
        table = schema.letters
        sealed = connection.execute(
            sa.select(table.c.sealed).where(table.c.id == row, table.c.mailbox == self._keys.blind("mailbox", mailbox))
        ).scalar_one_or_none()
        if sealed is None:
            return False
        fields = self._keys.open_map("letters", row, "sealed", sealed)
        letter_class = LetterClass(read_slip(fields).slip.letter_class)
        now_ms = self._world.now_ms()
        return letter_class in preferences.classes and (
            preferences.after_quiet_ms(now_ms, letter_class, self._alerts.zone) == now_ms
        )
