"""What stands inside a backup: records, each u32 length ‖ strict msgpack [word, fields]. Spec: spec/backup.md, 3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from protocol.codec import FieldReader, Value, check_text, decode, encode
from protocol.errors import Reason, RemoteProtocolError
from protocol.ids import NodeId

__all__ = [
    "LENGTH_BYTES",
    "MAX_RECORD_BYTES",
    "ArchivedFile",
    "Begin",
    "End",
    "PayloadData",
    "PayloadGone",
    "PayloadStart",
    "Record",
    "Rows",
    "decode_record",
    "encode_record",
]

LENGTH_BYTES: Final = 4
# One row is the least that a record holds; the largest is the state of a feed that erased a million entries.
MAX_RECORD_BYTES: Final = 32 * 1024 * 1024
MAX_DATA_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """The first record. revision: of the schema. epoch, size: of the own log in the snapshot."""

    node: NodeId
    made_at_ms: int
    revision: str
    institution: str
    epoch: int
    size: int


@dataclass(frozen=True, slots=True)
class ArchivedFile:
    """A small file of the folder."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of one table: maps from column to value, without the columns that are NULL."""

    table: str
    rows: list[dict[str, int | str | bytes]]


@dataclass(frozen=True, slots=True)
class PayloadStart:
    """A payload file begins. name: 16 blinded bytes."""

    name: bytes


@dataclass(frozen=True, slots=True)
class PayloadData:
    """The next chunk of the payload that began last."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PayloadGone:
    """The payload that began last is not whole in this backup: its file was gone. Its chunks count for nothing."""

    name: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The last record, with what was written before it."""

    rows: int
    payloads: int
    gone: int


Record = Begin | ArchivedFile | Rows | PayloadStart | PayloadData | PayloadGone | End


def _plain(record: Record) -> Value:
    match record:
        case Begin():
            return [
                "begin",
                {
                    "v": 1,
                    "node": bytes(record.node),
                    "made": record.made_at_ms,
                    "schema": record.revision,
                    "institution": record.institution,
                    "epoch": record.epoch,
                    "size": record.size,
                },
            ]
        case ArchivedFile(name, data):
            return ["file", {"name": name, "data": data}]
        case Rows(table, rows):
            return ["rows", {"table": table, "rows": rows}]
        case PayloadStart(name):
            return ["payload", {"name": name}]
        case PayloadData(data):
            return ["data", {"data": data}]
        case PayloadGone(name):
            return ["gone", {"name": name}]
        case End():
            return ["end", {"rows": record.rows, "payloads": record.payloads, "gone": record.gone}]


def encode_record(record: Record) -> bytes:
    """The bytes of one record, length first."""
    body = encode(_plain(record))
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def decode_record(body: bytes) -> Record:
    """One record after its length. RemoteProtocolError: too_large, malformed, not_canonical, unknown_version."""
    parts = decode(body, max_bytes=MAX_RECORD_BYTES)
    if not isinstance(parts, list) or len(parts) != 2:
        raise RemoteProtocolError(Reason.MALFORMED, "expected [word, fields]")
    fields = FieldReader(parts[1])
    record = _read(check_text(parts[0], "word", 1, 16), fields)
    fields.done()
    return record


def _read(word: str, fields: FieldReader) -> Record:
    match word:
        case "begin":
            fields.version()
            return Begin(
                node=NodeId(fields.fixed("node", 32)),
                made_at_ms=fields.integer("made"),
                revision=fields.text("schema", low=1, high=32),
                institution=fields.text("institution", high=1024),
                epoch=fields.integer("epoch", low=1),
                size=fields.integer("size"),
            )
        case "file":
            return ArchivedFile(fields.text("name", low=1, high=64), fields.binary("data", high=MAX_RECORD_BYTES))
        case "rows":
            return Rows(fields.text("table", low=1, high=64), _rows(fields))
        case "payload":
            return PayloadStart(fields.fixed("name", 16))
        case "data":
            return PayloadData(fields.binary("data", low=1, high=MAX_DATA_BYTES))
        case "gone":
            return PayloadGone(fields.fixed("name", 16))
        case "end":
            return End(rows=fields.integer("rows"), payloads=fields.integer("payloads"), gone=fields.integer("gone"))
    raise RemoteProtocolError(Reason.MALFORMED, f"an unknown record {word!r}")


def _rows(fields: FieldReader) -> list[dict[str, int | str | bytes]]:
    rows = fields.items("rows", low=1, high=10_000)
    for row in rows:
        if not isinstance(row, dict) or not all(isinstance(value, int | str | bytes) for value in row.values()):
            raise RemoteProtocolError(Reason.MALFORMED, "a row is a map of integers, texts and bytes")
    return rows
