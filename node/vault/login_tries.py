"""Log-ins tried from one address of a client, beside what each mailbox counts. Spec: spec/web.md, 9.

A bucket a client, as the one number of GCRA: when it would be full again. A row: several processes serve one node.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa

from node.vault import schema
from node.vault.database import Transaction
from node.vault.sealing import RowKeys

__all__ = ["LoginTries", "network_of"]

_TABLE: Final = schema.login_tries
# A hospital logs in from one address: right passwords cost nothing. Fifty wrong ones at once, then 300 an hour.
_BURST: Final = 50
_EVERY_MS: Final = 12_000
_FULL_MS: Final = _BURST * _EVERY_MS


class LoginTries:
    """The login_tries table. Items are addresses as text, of clients as far as they are known."""

    def __init__(self, keys: RowKeys) -> None:
        self._keys = keys

    def _row(self, client: str) -> bytes:
        return self._keys.blind("login-address", network_of(client).encode())

    def take(self, tx: Transaction, items: Sequence[str]) -> Sequence[bool]:
        """Spend a try each before anything is checked; whether there was one left."""
        results = []
        for client in items:
            row = self._row(client)
            found = tx.connection.execute(
                sa.select(_TABLE.c.full_at_ms).where(_TABLE.c.id == row).with_for_update()
            ).scalar_one_or_none()
            # Never further ahead than an empty bucket: the clock may have been set back since.
            full_at_ms = min(max(found or 0, tx.now_ms), tx.now_ms + _FULL_MS) + _EVERY_MS
            allowed = full_at_ms <= tx.now_ms + _FULL_MS
            if allowed and found is None:
                tx.connection.execute(_TABLE.insert().values(id=row, full_at_ms=full_at_ms))
            elif allowed:
                tx.connection.execute(_TABLE.update().where(_TABLE.c.id == row).values(full_at_ms=full_at_ms))
            results.append(allowed)
        return results

    def give_back(self, tx: Transaction, items: Sequence[str]) -> Sequence[None]:
        """The try was a right one."""
        for client in items:
            row = self._row(client)
            spent = _TABLE.update().where(_TABLE.c.id == row, _TABLE.c.full_at_ms > tx.now_ms)
            tx.connection.execute(spent.values(full_at_ms=_TABLE.c.full_at_ms - _EVERY_MS))
        return [None] * len(items)

    def prune(self, tx: Transaction, items: Sequence[int]) -> Sequence[None]:
        """Forget buckets that are full at these times."""
        for now_ms in items:
            tx.connection.execute(_TABLE.delete().where(_TABLE.c.full_at_ms <= now_ms))
        return [None] * len(items)


def network_of(client: str) -> str:
    """What is counted together: an IPv4 address, the 64 bits that a line gets of IPv6, or nobody known."""
    try:
        address = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
