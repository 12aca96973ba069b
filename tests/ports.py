"""Ports for servers that have to be told one before they start."""

from __future__ import annotations

import random
import socket
from typing import Final

__all__ = ["free_port"]

# Below those that Linux and others give to who dials (32768 and up): between looking and listening none of them may
# take it. Drawn, for tests run in several processes; seeded by the system, not by Hypothesis.
_PORTS: Final = range(20_000, 32_000)
_CHANCE: Final = random.SystemRandom()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    while True:
        port = _CHANCE.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
