"""Sends what the alert queue holds: retried before the last step, never after it. Spec: spec/delivery.md, 10."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog
import trio

from node.alerts.channels import Channel, ChannelError, EmailChannel, WebhookChannel
from node.alerts.wording import DEFAULT_WORDINGS, WordingRows, Wordings
from node.config.telling import AlertSettings
from node.vault.alert import Alert
from node.vault.alert_queue import AlertQueue
from node.vault.database import Database
from node.vault.signals import ALERTS

__all__ = ["AlertSender"]

_AT_ONCE: Final = 8
_BATCH: Final = 32
_RETRY_START_MS: Final = 30_000
_RETRY_CAP_MS: Final = 3_600_000
_IDLE_S: Final = 60

_logger = structlog.get_logger(__name__)


class AlertSender:
    """Works off the queue until cancelled."""

    def __init__(
        self,
        database: Database,
        queue: AlertQueue,
        settings: AlertSettings,
        institution: str,
        link_base: str = "",
        wordings: WordingRows | None = None,
    ) -> None:
        """link_base: where the pages are, https://host; empty if nobody said. wordings: the institution's own texts,
        read anew for each mail.
        """
        self._database = database
        self._queue = queue
        self._wordings = wordings
        self._institution = institution
        self._link_base = link_base
        self._channels: dict[str, Callable[[Wordings], Channel] | None] = {}
        self.use(settings)
        self._limit = trio.CapacityLimiter(_AT_ONCE)

    def use(self, settings: AlertSettings) -> None:
        """From now on these ways out; what is being sent goes its way."""
        institution, link_base = self._institution, self._link_base
        self._channels = {
            "email": (
                (
                    lambda own: EmailChannel(
                        settings.smtp,
                        institution=institution,
                        login_url=settings.login_url,
                        link_base=link_base,
                        wordings=own,
                    )
                )
                if settings.smtp.host
                else None
            ),
            "webhook": (lambda _own: WebhookChannel(settings, link_base=link_base, institution=institution))
            if settings.webhook_secret_file
            else None,
        }

    async def run(self) -> None:
        """Send alerts as they become due."""
        database = self._database
        while True:
            ticket = database.signals.ticket(ALERTS)
            next_ms = await database.read(self._queue.next_due_ms)
            now_ms = database.world.now_ms()
            if next_ms is not None and next_ms <= now_ms:
                async with trio.open_nursery() as nursery:
                    for alert in await database.read(self._queue.due, now_ms, _BATCH):
                        nursery.start_soon(self._send, alert)
                continue
            wait_s = _IDLE_S if next_ms is None else (next_ms - now_ms) / 1000
            with trio.move_on_after(min(wait_s, _IDLE_S)):
                await ticket.wait()

    async def _send(self, alert: Alert) -> None:
        make = self._channels[alert.channel]
        async with self._limit:
            if not alert.target:
                await self._failed(alert, ChannelError(f"{alert.channel} is not wanted any more", permanent=True))
                return
            if make is None:
                await self._failed(alert, ChannelError(f"no {alert.channel} configured"))
                return
            rows = self._wordings
            own = DEFAULT_WORDINGS if rows is None else await self._database.read(rows.all)
            channel, blocking = make(own), self._database.world.run_blocking
            try:
                await blocking(channel.begin, alert, self._database.world.now_ms())
            except ChannelError as error:
                await self._failed(alert, error)
                return
            # From here on the alert may be taken: it is never tried again (the unread ladder covers a lost one).
            if not await self._database.write(self._queue.mark_sent, alert):
                await blocking(channel.abandon)
                return
            try:
                await blocking(channel.finish)
            except ChannelError as error:
                _logger.warning("alert perhaps lost", channel=alert.channel, reason=str(error))

    async def _failed(self, alert: Alert, error: ChannelError) -> None:
        now_ms = self._database.world.now_ms()
        again_at_ms: int | None = now_ms + min(_RETRY_START_MS << min(alert.attempts, 20), _RETRY_CAP_MS)
        if error.permanent or (again_at_ms or 0) > alert.expires_at_ms:
            again_at_ms = None
        _logger.warning(
            "alert not sent",
            channel=alert.channel,
            reason=str(error),
            attempts=alert.attempts + 1,
            final=not again_at_ms,
        )
        await self._database.write(self._queue.mark_failed, (alert, again_at_ms))
