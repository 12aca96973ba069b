"""What a service tells systemd (sd_notify), and what systemd tells a service. Spec: spec/operation.md, 5.

The protocol is one datagram with lines NAME=VALUE to the socket that NOTIFY_SOCKET names.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from typing import Final

import structlog
import trio

__all__ = ["Notifier"]

_logger = structlog.get_logger(__name__)
_RELOADING: Final = "RELOADING=1"


class Notifier:
    """Tells systemd where a node stands; does nothing where nobody listens."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        # An abstract socket is written with @, and begins with a zero byte.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        own = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        microseconds = environment.get("WATCHDOG_USEC", "")
        self._watchdog_s = int(microseconds) / 1e6 if own and microseconds.isdigit() else 0.0

    def ready(self) -> None:
        """It serves; also after `reloading`."""
        self._send("READY=1")

    def reloading(self) -> None:
        """It reads its settings anew."""
        self._send(f"{_RELOADING}\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """It was told to stop."""
        self._send("STOPPING=1")

    async def watchdog(self) -> None:
        """Say that the event loop turns, twice as often as systemd asks, until cancelled; ends if it does not ask."""
        while self._address and self._watchdog_s:
            self._send("WATCHDOG=1")
            await trio.sleep(self._watchdog_s / 2)

    def _send(self, lines: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.sendto(lines.encode(), self._address)
        except OSError as error:
            _logger.warning("systemd was not told", reason=error.strerror or type(error).__name__)
