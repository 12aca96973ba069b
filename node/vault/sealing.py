"""How rows lie at rest: sealed columns, blinded ids, time-ordered row ids. Spec: spec/delivery.md, "At rest".

A thief of the database finds neither who wrote to whom nor anything of a letter. Ids that cross the wire are
stored blinded (HMAC under the index key), everything else of a letter sealed under the data key. Both keys live
in the keyring only.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from node.errors import StoreError
from protocol.box import SALT_BYTES, open_box, seal_box
from protocol.codec import FieldReader, Value, decode_map, encode
from protocol.crypto import Secret
from protocol.errors import RemoteProtocolError
from protocol.ids import NodeId
from protocol.labels import Label

__all__ = ["BLIND_BYTES", "RowKeys", "new_row_id"]

BLIND_BYTES = 16
# A sealed row holds at most an envelope and a signed slip beside small fields.
_MAX_ROW_BYTES = 16 * 1024 * 1024


def new_row_id(now_ms: int, random_bytes: Callable[[int], bytes]) -> bytes:
    """16 bytes that sort by time: u48 milliseconds ‖ 10 random bytes. Known before the row is written,
    so the row's seal can be bound to it; rising, so inserts stay at one end of the index.
    """
    return now_ms.to_bytes(6, "big") + random_bytes(10)


@dataclass(frozen=True)
class RowKeys:
    """Seals and blinds for one node. data_key, index_key: 32 bytes each, from the keyring."""

    node_id: NodeId
    data_key: Secret
    index_key: Secret
    random_bytes: Callable[[int], bytes]

    def blind(self, purpose: str, *ids: bytes) -> bytes:
        """A 16-byte pseudonym of ids, the same each time, meaningless without the index key."""
        hashing = self._blinding.copy()
        hashing.update(purpose.encode() + b"\0" + b"".join(ids))
        return hashing.digest()[:BLIND_BYTES]

    @cached_property
    def _blinding(self) -> hmac.HMAC:
        """HMAC-SHA256 under the index key, fed with the label: a letter is blinded in a dozen ways, and a copy is
        quicker than the key schedule, which would also hand the interpreter to another thread each time.
        """
        return hmac.new(self.index_key.reveal(), Label.BLIND_INDEX.value, "sha256")

    def _info(self, table: str, row: bytes, column: str) -> bytes:
        place = table.encode() + b"\0" + column.encode() + b"\0" + row
        return Label.ROW.value + self.node_id + place

    def seal(self, table: str, row: bytes, column: str, plaintext: bytes) -> bytes:
        """Seal one column of one row; it opens at that place only."""
        salt = self.random_bytes(SALT_BYTES)
        return seal_box(self.data_key.reveal(), info=self._info(table, row, column), salt=salt, plaintext=plaintext)

    def open(self, table: str, row: bytes, column: str, box: bytes) -> bytes:
        """What was sealed. StoreError if the row is damaged, moved, or of another node."""
        try:
            return open_box(self.data_key.reveal(), info=self._info(table, row, column), box=box)
        except RemoteProtocolError as error:
            raise StoreError(
                f"{table}.{column} of row {row.hex()} does not open ({error.reason.value})",
                hint="the database is damaged or mixed with another node's: restore a backup",
            ) from error

    def seal_map(self, table: str, row: bytes, column: str, fields: dict[str, Value]) -> bytes:
        """Seal a map of fields (strict msgpack; None fields left out)."""
        present = {name: value for name, value in fields.items() if value is not None}
        return self.seal(table, row, column, encode(present))

    def open_map(self, table: str, row: bytes, column: str, box: bytes) -> FieldReader:
        """The fields sealed by `seal_map`."""
        return decode_map(self.open(table, row, column, box), max_bytes=_MAX_ROW_BYTES)
