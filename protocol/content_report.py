"""Whether disclosed content is what the evidence is about, and who wrote it. Spec: spec/evidence.md, 16."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from protocol.checkpoint import CheckpointVerifier, parse_origin, peek_checkpoint
from protocol.content_file import ContentFile
from protocol.crypto import VerifyKey, sha256
from protocol.delegation import SignedDelegation, check_mandate, decode_signed_delegation
from protocol.entry import InstitutionEntry, MailboxEntry
from protocol.entry_evidence import EntryEvidence, VerifiedEntry, verify_entry_evidence
from protocol.errors import Reason, RemoteProtocolError
from protocol.evidence_findings import Report
from protocol.ids import MailboxId, NodeId
from protocol.letter import SignedLetter, decode_signed_letter
from protocol.logleaf import EventKind
from protocol.merkle import leaf_hash, verify_inclusion
from protocol.payload import CHUNK_BYTES, Descriptor, PayloadOpener, check_padding, read_signed_letter
from protocol.statement import StatementChain

__all__ = ["ContentDoubt", "DisclosedLetter", "verify_content"]


class ContentDoubt(StrEnum):
    """A question that disclosed content leaves open."""

    SENDER_UNCONFIRMED = "sender_unconfirmed"
    """The letter's signature holds, and no entry enclosed says that its key was the sender's."""
    DOMAIN_UNCONFIRMED = "domain_unconfirmed"
    """No entry of the sender's institution enclosed claims the domain of the sender's address."""
    NOT_OPENED = "not_opened"
    """No opening in the evidence names this text: it is what was sent, and nobody is shown to have read it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DisclosedLetter:
    """The content that the evidence is about. text_sha256: of the text in UTF-8.

    sender_name: as the institution published it; empty if no entry enclosed says so. deputy: the id of the mailbox
    that signed for the sender, None if the sender did.
    """

    signed: SignedLetter
    text_sha256: bytes
    sender_name: str
    deputy: MailboxId | None
    doubts: tuple[ContentDoubt, ...]


def verify_content(
    disclosed: ContentFile, report: Report, *, expected_nodes: Collection[NodeId] | None = None
) -> DisclosedLetter:
    """Open what was disclosed, and hold it against what the evidence file proved.

    report: what `verify_evidence_file` said. expected_nodes: as there.
    RemoteProtocolError: mismatch (another letter, payload, text or sending node; or nothing proved), bad_commitment
    (another key), bad_proof (a chunk of another payload), bad_box, malformed, not_canonical, bad_padding,
    bad_signature, unknown_key (signed with a key that the entries enclosed do not state), not_yet_valid, expired (a
    deputy's mandate).
    """
    details = [item.verified.details for item in report.events if item.verified is not None]
    payloads = {item.payload for item in details} - {None}
    descriptor = Descriptor.decode(disclosed.descriptor)
    if disclosed.letter != report.letter:
        raise RemoteProtocolError(Reason.MISMATCH, "the disclosed letter is another one than the evidence is about")
    if payloads != {descriptor.payload_id}:
        raise RemoteProtocolError(Reason.MISMATCH, "no event proved in the evidence is about this content")
    signed = _open(disclosed, descriptor)
    letter = signed.letter
    if letter.letter_id != report.letter:
        raise RemoteProtocolError(Reason.MISMATCH, "the letter inside bears another id")
    senders = {
        item.verified.details.node if item.verified.kind is EventKind.SUBMITTED else item.verified.details.peer
        for item in report.events
        if item.verified is not None and item.verified.kind in (EventKind.SUBMITTED, EventKind.DEPOSITED)
    }
    if senders and senders != {letter.sender.node}:
        raise RemoteProtocolError(Reason.MISMATCH, "the letter names another sending node than the evidence")
    digests = {item.digest for item in details} - {None}
    if digests - {signed.digest}:
        raise RemoteProtocolError(Reason.MISMATCH, "an opening in the evidence is of another text")
    signed.verify([letter.sender.key])
    entries = [item.verified for item in report.entries if item.verified is not None]
    found = [*entries, *_entries(disclosed, expected_nodes)]
    name, deputy, known = _check_author(signed, found)
    doubts = [] if known else [ContentDoubt.SENDER_UNCONFIRMED]
    if known and not _is_domain_claimed(signed, found):
        doubts.append(ContentDoubt.DOMAIN_UNCONFIRMED)
    if not digests:
        doubts.append(ContentDoubt.NOT_OPENED)
    return DisclosedLetter(
        signed=signed,
        text_sha256=sha256(letter.text.encode()),
        sender_name=name,
        deputy=deputy,
        doubts=tuple(doubts),
    )


def _open(disclosed: ContentFile, descriptor: Descriptor) -> SignedLetter:
    first = descriptor.chunk_count - len(disclosed.chunks)
    if first < 0:
        raise RemoteProtocolError(Reason.MALFORMED, "more chunks than the payload has")
    opener = PayloadOpener(descriptor, disclosed.key, disclosed.letter)
    content = bytearray()
    for index, chunk in enumerate(disclosed.chunks, first):
        hashed = leaf_hash(chunk.data)
        verify_inclusion(hashed, index=index, size=descriptor.chunk_count, proof=chunk.path, root=descriptor.root)
        content += opener.open_chunk(index, chunk.data)
    start = first * CHUNK_BYTES

    def read(offset: int, length: int) -> bytes:
        if offset < start:
            raise RemoteProtocolError(Reason.MALFORMED, "the chunks disclosed do not hold the whole letter")
        return bytes(content[offset - start : offset - start + length])

    raw, letter_start = read_signed_letter(descriptor, read)
    signed = decode_signed_letter(raw)
    attached = sum(item.size for item in signed.letter.attachments)
    if max(attached, start) == attached:
        check_padding(descriptor, attached, letter_start, read)
    return signed


def _entries(disclosed: ContentFile, expected: Collection[NodeId] | None) -> Iterable[VerifiedEntry]:
    """The entries enclosed. One that does not verify refuses the file: nobody adds one by accident."""
    verifiers = {}
    for item in disclosed.nodes:
        chain = StatementChain.from_raw_list(item.statements)
        if chain.node_id != item.node or (expected is not None and item.node not in expected):
            raise RemoteProtocolError(Reason.MISMATCH, "the content file encloses statements of another node")
        verifiers[item.node] = CheckpointVerifier(chain.node_id, chain.log_keys())
    return [verify_entry_evidence(item, _verifier_of(item, verifiers)) for item in disclosed.entries]


def _verifier_of(item: EntryEvidence, verifiers: dict[NodeId, CheckpointVerifier]) -> CheckpointVerifier:
    _, node, _ = parse_origin(peek_checkpoint(item.proof.checkpoint).origin)
    if node not in verifiers:
        raise RemoteProtocolError(
            Reason.UNKNOWN_KEY, "the content file encloses an entry without its node's statements"
        )
    return verifiers[node]


def _check_author(signed: SignedLetter, entries: Iterable[VerifiedEntry]) -> tuple[str, MailboxId | None, bool]:
    """Name of the sender, id of the deputy who signed, and whether entries say whose the signing key was."""
    sender, time_ms = signed.letter.sender, signed.letter.time_ms
    known = [item.entry for item in entries if item.node == sender.node and isinstance(item.entry, MailboxEntry)]
    owners = [item for item in known if item.mailbox == sender.mailbox]
    name = owners[-1].name if owners else ""
    by: SignedDelegation | None = None if signed.letter.by is None else decode_signed_delegation(signed.letter.by)
    deputy = None if by is None else by.delegation.delegate
    signers = owners if deputy is None else [item for item in known if item.mailbox == deputy]
    if not owners or not signers:
        return name, deputy, False
    if by is not None:
        check_mandate(signed, by, _keys(owners, time_ms))
    signed.verify(_keys(signers, time_ms))
    if not any(item.address == sender.address for item in owners):
        raise RemoteProtocolError(Reason.MISMATCH, "the letter names another address than the entries enclosed")
    return name, deputy, True


def _is_domain_claimed(signed: SignedLetter, entries: Iterable[VerifiedEntry]) -> bool:
    sender = signed.letter.sender
    domain = sender.address.partition("@")[2]
    return any(
        item.node == sender.node and isinstance(item.entry, InstitutionEntry) and domain in item.entry.domains
        for item in entries
    )


def _keys(entries: Iterable[MailboxEntry], time_ms: int) -> set[VerifyKey]:
    return {key for item in entries for key in item.signing_keys_at(time_ms)}
