"""Every reader of bytes from outside, with bytes that it takes to begin from: the good and bad cases of the vectors."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from node.maintainer.signed_file import decode_signed, encode_signed
from node.maintainer.task_file import RevokeTask, decode_tasks, encode_tasks
from protocol.backup import PREFIX_BYTES, BackupHeader, BackupOpener, BackupSealer, decode_header, header_length
from protocol.box import open_box
from protocol.bundle import decode_manifest
from protocol.bundle_archive import ArchiveReader, decode_statements
from protocol.bundle_items import decode_part
from protocol.certificate import check_certificate
from protocol.checkpoint import parse_origin, peek_checkpoint
from protocol.codec import MAX_VALUES, decode
from protocol.content_file import parse_content_file
from protocol.content_report import verify_content
from protocol.cosignature import cosigned_at_s, witness_name
from protocol.crypto import SealKey, SealSecret, Secret, VerifyKey
from protocol.delegation import decode_signed_delegation
from protocol.details import decode_details
from protocol.disclosure import parse_disclosure
from protocol.disclosure_report import verify_disclosure
from protocol.entry import InstitutionEntry, MailboxEntry, MaintainerEntry, RevocationReason, SignedStanding, Totals
from protocol.envelope import decode_envelope, open_envelope
from protocol.errors import RemoteProtocolError
from protocol.evidence import boxed_envelope_id, decode_evidence, open_boxed
from protocol.evidence_file import parse_evidence_file
from protocol.evidence_merge import merge_evidence_files
from protocol.evidence_report import verify_evidence_file
from protocol.feed import FeedLeaf, decode_operation
from protocol.feed_file import decode_feed_file
from protocol.fork_file import parse_fork_file
from protocol.heads_file import parse_heads_file
from protocol.ids import NodeId
from protocol.invite import decode_invite
from protocol.letter import decode_signed_letter
from protocol.link import Link
from protocol.link_states import Role
from protocol.logleaf import LogLeaf
from protocol.messages import MESSAGE_TYPES, StatusQuery
from protocol.note import parse_note
from protocol.payload import Descriptor
from protocol.pq_line import pq_signed_at_s
from protocol.slip import decode_signed_slip
from protocol.statement import StatementChain, decode_signed_statement
from protocol.text_file import strict_cosigned_head
from protocol.timestamp import TimestampRequest, read_timestamp
from protocol.tlogproof import TlogProof
from protocol.withdrawal import open_withdrawal
from spec.vectors.make_daily import SECRET as DAILY_SECRET
from spec.vectors.make_standing import MAINTAINER, REVOCATION
from spec.vectors.sample_content import ContentSample
from spec.vectors.sample_timestamps import TOKEN
from tests.protocol.link_helpers import ENVELOPE_ID, hello
from tests.vectors.vector_files import VECTORS

__all__ = ["DECODERS", "Decoder"]


@dataclass(frozen=True, slots=True)
class Decoder:
    """A reader: read(data) raises RemoteProtocolError or nothing. seeds: bytes to begin from."""

    name: str
    read: Callable[[bytes], object]
    seeds: tuple[bytes, ...]


_NODE: Final = NodeId(bytes(range(32)))
_SECRET: Final = SealSecret(bytes(range(96)))
_OTHER_SECRET: Final = Secret(bytes(range(32, 64)))
_PQ_KEYS: Final = (DAILY_SECRET.verify_key,)
_SECRETS: Final = {_SECRET.seal_key.fingerprint[:8]: _SECRET}


_SAMPLE: Final = ContentSample()
_REPORT: Final = verify_evidence_file(_SAMPLE.file())
_HEAD: Final = _SAMPLE.recipient.log_head()
# An authority's answer around the token: granted.
_ANSWER: Final = b"\x30\x82" + (len(TOKEN) + 5).to_bytes(2, "big") + bytes.fromhex("3003020100") + TOKEN
_HEADER: Final = BackupHeader(node=_NODE, made_at_ms=0, keyring=b"sealed", salt=bytes(32))
_SEALER: Final = BackupSealer(_OTHER_SECRET, _HEADER)
_BACKUP_CHUNK: Final = _SEALER.finish()


def _text(read: Callable[[str], object]) -> Callable[[bytes], object]:
    """A reader of text, fed with bytes as a program that reads a file would."""
    return lambda data: read(data.decode("utf-8", "replace"))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def _bytes_of(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return text.encode()


def _seeds(*topics: str) -> tuple[bytes, ...]:
    found: dict[bytes, None] = {}
    for topic in topics:
        document = json.loads((VECTORS / f"{topic}.json").read_text(encoding="utf-8"))
        for case in document["cases"]:
            found.update((_bytes_of(text), None) for text in _strings(case["input"]) if len(text) > 8)
    return tuple(found)


def _delegations() -> tuple[bytes, ...]:
    """What stands in `by` of the letters of the vectors."""
    letters = (seed for seed in _seeds("delegation") if len(seed) > VerifyKey.LENGTH)
    return tuple(by for letter in letters if (by := decode_signed_letter(letter).letter.by) is not None)


def _open_link(data: bytes, role: Role = Role.ACCEPTOR) -> None:
    """A link that is open, with one question asked, hears these bytes."""
    link = Link(role, hello(), 0)
    if role is Role.ACCEPTOR:
        link.start()
    link.receive(hello(2).frame(0), 0)
    if role is Role.DIALLER:
        link.start()
    link.request(StatusQuery(ENVELOPE_ID))
    link.receive(data, 0)


def _silent_link(data: bytes) -> None:
    """Links on which nobody has said anything yet hear these bytes, one in each role."""
    for role in Role:
        with suppress(RemoteProtocolError):
            Link(role, hello(), 0).receive(data, 0)


def _ending_link(data: bytes) -> None:
    """A link on which this side said goodbye hears these bytes."""
    link = Link(Role.ACCEPTOR, hello(), 0)
    link.start()
    link.receive(hello(2).frame(0), 0)
    link.goodbye("stopping")
    link.receive(data, 0)


_TASKS: Final = encode_tasks(MAINTAINER.node_id, [RevokeTask(MAINTAINER.node_id, RevocationReason.LEFT)])


def _standing(data: bytes) -> None:
    """A maintainer's word, which its feed vouches for, and the signature on it."""
    SignedStanding.decode(data).verify(MAINTAINER)


def _cosignature(data: bytes) -> None:
    cosigned_at_s(data, name=witness_name(MAINTAINER.node_id), key=MAINTAINER.current.witness_key)


def _backup(data: bytes) -> None:
    """The beginning of a backup: how long its header says that it is, and the header."""
    length = header_length(data[:PREFIX_BYTES])
    decode_header(data[PREFIX_BYTES : PREFIX_BYTES + length])


def _backup_chunk(data: bytes) -> None:
    BackupOpener(_OTHER_SECRET, _HEADER, _SEALER.start[-32:]).open(data, is_last=True)


def _whole_envelope(data: bytes) -> None:
    open_envelope(decode_envelope(data), _SECRETS)


def _whole_evidence_file(data: bytes) -> None:
    verify_evidence_file(parse_evidence_file(data))


def _merged(data: bytes) -> None:
    """A file from outside made one with the sample letter's."""
    merge_evidence_files(_SAMPLE.file(), replace(parse_evidence_file(data), letter=_SAMPLE.letter))


def _whole_content(data: bytes) -> None:
    verify_content(parse_content_file(data), _REPORT)


def _message(data: bytes) -> None:
    """The first byte chooses the message, the rest is its body."""
    types = list(MESSAGE_TYPES.values())
    if data:
        types[data[0] % len(types)].decode(data[1:])


def _bundle(data: bytes) -> None:
    """A whole file, to its end."""
    archive = ArchiveReader(io.BytesIO(data).read)
    while archive.next_section() is not None:
        pass


def _chain(data: bytes) -> None:
    StatementChain.from_raw_list([data])


def _all() -> Iterator[Decoder]:
    yield Decoder("codec", lambda data: decode(data, max_bytes=MAX_VALUES), _seeds("codec"))
    yield Decoder("certificate", check_certificate, _seeds("certificate"))
    yield Decoder("statement", decode_signed_statement, _seeds("statement"))
    yield Decoder("chain", _chain, _seeds("statement"))
    yield Decoder("invite", _text(decode_invite), _seeds("invite"))
    yield Decoder("letter", decode_signed_letter, _seeds("letter"))
    yield Decoder("delegation", decode_signed_delegation, _delegations())
    yield Decoder("slip", decode_signed_slip, _seeds("slip"))
    yield Decoder("envelope", _whole_envelope, _seeds("envelope"))
    yield Decoder("withdrawal", lambda data: open_withdrawal(data, own=_NODE, secrets=_SECRETS), _seeds("withdrawal"))
    yield Decoder("bundle", _bundle, _seeds("bundle"))
    yield Decoder("bundle_manifest", decode_manifest, _seeds("bundle"))
    yield Decoder("bundle_statements", decode_statements, _seeds("bundle"))
    yield Decoder("bundle_part", decode_part, _seeds("bundle"))
    yield Decoder("descriptor", Descriptor.decode, _seeds("payload"))
    yield Decoder("box", lambda data: open_box(bytes(32), info=b"info", box=data), _seeds("box"))
    yield Decoder("seal_key", SealKey.checked, (_SECRET.seal_key,))
    yield Decoder("verify_key", VerifyKey.checked, _seeds("signature"))
    yield Decoder("note", parse_note, _seeds("note"))
    yield Decoder("checkpoint", peek_checkpoint, _seeds("checkpoint"))
    yield Decoder("origin", _text(parse_origin), _seeds("checkpoint"))
    yield Decoder("tlogproof", TlogProof.decode, _seeds("tlogproof"))
    yield Decoder("logleaf", LogLeaf.decode, _seeds("logleaf"))
    yield Decoder("details", decode_details, _seeds("logleaf", "evidence"))
    yield Decoder("evidence", decode_evidence, _seeds("evidence"))
    yield Decoder("boxed_evidence", lambda data: open_boxed(data, reply_key=Secret(bytes(32))), _seeds("evidence"))
    yield Decoder("boxed_envelope_id", boxed_envelope_id, _seeds("evidence"))
    yield Decoder("evidence_file", _whole_evidence_file, _seeds("evidence_file"))
    yield Decoder("timestamp", read_timestamp, _seeds("timestamp"))
    yield Decoder("timestamp_answer", lambda data: TimestampRequest(_HEAD).take(data, None), (_ANSWER, TOKEN))
    yield Decoder("evidence_merge", _merged, _seeds("evidence_merge"))
    yield Decoder("content_file", _whole_content, _seeds("content"))
    yield Decoder("fork_file", lambda data: parse_fork_file(data).verify(), _seeds("fork"))
    yield Decoder("disclosure", lambda data: verify_disclosure(parse_disclosure(data)), _seeds("disclosure"))
    yield Decoder("heads_file", parse_heads_file, _seeds("heads"))
    yield Decoder("feed_leaf", FeedLeaf.decode, _seeds("feed"))
    yield Decoder("operation", decode_operation, _seeds("feed"))
    yield Decoder("institution_entry", InstitutionEntry.decode, _seeds("entry"))
    yield Decoder("mailbox_entry", MailboxEntry.decode, _seeds("entry"))
    yield Decoder("message", _message, _seeds("message"))
    yield Decoder("maintainer_entry", MaintainerEntry.decode, (MaintainerEntry(names=("Région",)).encode(),))
    yield Decoder("standing", _standing, _seeds("standing"))
    yield Decoder("totals", Totals.decode, _seeds("totals"))
    yield Decoder("feed_file", decode_feed_file, _seeds("feedfile"))
    yield Decoder("signed_file", decode_signed, (encode_signed([REVOCATION]),))
    yield Decoder("task_file", lambda data: decode_tasks(data, MAINTAINER), (_TASKS,))
    yield Decoder("cosignature", _cosignature, _seeds("cosignature"))
    yield Decoder("daily_head", lambda data: pq_signed_at_s(data, _PQ_KEYS), _seeds("daily"))
    yield Decoder("cosigned_head", strict_cosigned_head, _seeds("cosignature"))
    yield Decoder("backup_header", _backup, (_SEALER.start,))
    yield Decoder("backup_chunk", _backup_chunk, (_BACKUP_CHUNK,))
    yield Decoder("link", _open_link, _seeds("frame", "message"))
    yield Decoder("dialling_link", lambda data: _open_link(data, Role.DIALLER), _seeds("frame", "message"))
    yield Decoder("silent_link", _silent_link, _seeds("frame", "message"))
    yield Decoder("ending_link", _ending_link, _seeds("frame", "message"))


def _only_declared(read: Callable[[bytes], object]) -> Callable[[bytes], object]:
    def checked(data: bytes) -> None:
        with suppress(RemoteProtocolError):
            read(data)

    return checked


DECODERS: Final = {item.name: Decoder(item.name, _only_declared(item.read), item.seeds) for item in _all()}
"""By name; reading raises nothing but what is a defect."""
