"""New settings without a restart, where that is safe. Spec: spec/operation.md, 6."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
import structlog

from node.config.settings import Settings, load_settings
from node.errors import CoffreError
from node.logging import use_format
from node.settings_record import SettingsRecord, flat_settings
from node.vault.database import Transaction
from node.vault.node_state import NodeState
from node.vault.signals import ALERTS, TRUST
from protocol.codec import Value

if TYPE_CHECKING:
    from node.alerts.sender import AlertSender
    from node.app import Node

__all__ = ["Outcome", "Reloaded", "Reloader", "in_force", "last_outcome"]

_NAME: Final = "reload"
_MAX_TEXT: Final = 10_000

_logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded:
    """Dotted keys that count now, and those that wait for a restart."""

    taken: tuple[str, ...]
    waiting: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one reading. count: how many there were so far; refused: why, empty if it was not; taken, waiting:
    keys with commas between them.
    """

    count: int
    refused: str
    taken: str
    waiting: str


def in_force(old: Settings, new: Settings) -> Settings:
    """The old settings with what a running node takes up of the new ones."""
    limits, retention = new.limits, new.retention
    return old.model_copy(
        update={
            "log_format": new.log_format,
            "alerts": new.alerts.model_copy(update={"sms_webhook": old.alerts.sms_webhook}),
            "operation": old.operation.model_copy(update={"alarms": new.operation.alarms}),
            "ladder": new.ladder,
            "limits": old.limits.model_copy(
                update={
                    "disk_bulk_percent": limits.disk_bulk_percent,
                    "disk_all_percent": limits.disk_all_percent,
                }
            ),
            "retention": retention.model_copy(update={"warn_days": old.retention.warn_days}),
            "trust": new.trust,
        }
    )


def _differing(one: Settings, other: Settings) -> tuple[str, ...]:
    left, right = flat_settings(one), flat_settings(other)
    return tuple(sorted(key for key in left if left[key] != right[key]))


class Reloader:
    """Takes new settings up in a running node.

    check_certificates: reads the certificates that are served, CoffreError if one does not load; use_certificates:
    serves them from then on.
    """

    def __init__(
        self,
        node: Node,
        sender: AlertSender,
        *,
        check_certificates: Callable[[], None],
        use_certificates: Callable[[], None],
    ) -> None:
        self._node = node
        self._sender = sender
        self._check_certificates = check_certificates
        self._use_certificates = use_certificates

    async def reload(self) -> Reloaded:
        """Read the file, check all of it, then take up what may be. CoffreError: everything is as it was."""
        node = self._node
        new = await node.world.run_blocking(load_settings, node.folder.settings_file)
        await node.world.run_blocking(self._check_certificates)
        old, settings = node.settings, in_force(node.settings, new)
        await SettingsRecord(node.database, node.keys, node.state).note(settings)
        node.settings = settings
        use_format(settings.log_format)
        self._sender.use(settings.alerts)
        node.ladder.use(settings.ladder)
        node.disk.use(settings.limits)
        node.policies.settings = settings.retention
        node.trust.threshold = settings.trust.threshold
        self._use_certificates()
        node.database.signals.set([(ALERTS, b""), (TRUST, b"")])
        return Reloaded(taken=_differing(old, settings), waiting=_differing(settings, new))

    async def try_reload(self) -> None:
        """The same for a signal: what came of it is in the program's log, and in the database for `coffre reload`."""
        try:
            done = await self.reload()
        except CoffreError as error:
            _logger.error("settings refused: those in force stay", reason=error.message)
            await self._node.database.write(self._keep, Outcome(0, error.message, "", ""))
            return
        taken, waiting = ",".join(done.taken), ",".join(done.waiting)
        _logger.info("settings taken up", settings=taken or "none")
        if waiting:
            _logger.warning("settings wait for a restart", settings=waiting)
        await self._node.database.write(self._keep, Outcome(0, "", taken, waiting))

    def _keep(self, tx: Transaction, items: Sequence[Outcome]) -> Sequence[None]:
        for item in items:
            count = last_outcome(tx.connection, self._node.state).count + 1
            fields: dict[str, Value] = {
                "count": count,
                "refused": item.refused,
                "taken": item.taken,
                "waiting": item.waiting,
            }
            self._node.state.set(tx, _NAME, fields)
        return [None] * len(items)


def last_outcome(connection: sa.Connection, state: NodeState) -> Outcome:
    """What came of the last time that a process of this node read its settings anew."""
    found = state.find(connection, _NAME)
    if found is None:
        return Outcome(0, "", "", "")
    texts = [found.text(name, high=_MAX_TEXT) for name in ("refused", "taken", "waiting")]
    return Outcome(found.integer("count"), *texts)
