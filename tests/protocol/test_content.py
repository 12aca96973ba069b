"""Content disclosed with evidence: it is what the events are about, or it is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.content_file import (
    MAX_CONTENT_FILE_BYTES,
    ContentFile,
    SentChunk,
    parse_content_file,
    write_content_file,
)
from protocol.content_report import ContentDoubt, DisclosedLetter, verify_content
from protocol.crypto import Secret, sha256
from protocol.entry import MailboxEntry
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.evidence_file import EvidenceFile
from protocol.evidence_report import verify_evidence_file
from protocol.ids import LeafTag, LetterId, NodeId
from protocol.logleaf import EventKind
from spec.vectors.sample_content import ContentSample
from spec.vectors.sample_letter import SampleLetter

SAMPLE = ContentSample()
GOOD = SAMPLE.content_file()
RAW = write_content_file(GOOD)


def held_against(content: ContentFile, file: EvidenceFile | None = None) -> DisclosedLetter:
    """What a stranger with both files learns."""
    report = verify_evidence_file(SAMPLE.file() if file is None else file)
    return verify_content(parse_content_file(write_content_file(content)), report)


def refused(content: ContentFile, file: EvidenceFile | None = None) -> Reason:
    with pytest.raises(RemoteProtocolError) as caught:
        held_against(content, file)
    return caught.value.reason


def test_the_text_its_sender_and_its_attachments_are_shown() -> None:
    found = held_against(GOOD)
    letter = found.signed.letter
    assert (letter.subject, letter.text) == ("Compte rendu\u00a0: échographie", SAMPLE.text)
    assert found.text_sha256 == sha256(SAMPLE.text.encode())
    assert [(item.name, item.sha256) for item in letter.attachments] == [("écho.pdf", sha256(SAMPLE.attached))]
    assert (found.sender_name, found.deputy, found.doubts) == ("Dr Paul Exemple", None, ())


def test_of_a_large_payload_the_last_chunks_suffice() -> None:
    sample = ContentSample(bytes(600_000))
    assert len(sample.chunks) == 3
    report = verify_evidence_file(sample.file())
    assert verify_content(sample.content_file(), report).signed.raw == sample.signed
    assert verify_content(sample.content_file(last=3), report).signed.raw == sample.signed
    long = ContentSample(text="mot " * 100_000)
    with pytest.raises(RemoteProtocolError) as caught:
        verify_content(long.content_file(last=1), verify_evidence_file(long.file()))
    assert caught.value.reason is Reason.MALFORMED
    assert verify_content(long.content_file(last=2), verify_evidence_file(long.file())).signed.letter.text == long.text


def test_without_entries_the_sender_is_unconfirmed() -> None:
    found = held_against(replace(GOOD, nodes=(), entries=()))
    assert found.sender_name == ""
    assert found.doubts == (ContentDoubt.SENDER_UNCONFIRMED,)


def test_without_the_institution_s_entry_the_domain_is_unconfirmed() -> None:
    found = held_against(replace(GOOD, entries=GOOD.entries[1:]))
    assert (found.sender_name, found.doubts) == ("Dr Paul Exemple", (ContentDoubt.DOMAIN_UNCONFIRMED,))


def test_nodes_that_the_reader_does_not_expect_are_refused() -> None:
    report, nodes = verify_evidence_file(SAMPLE.file()), [SAMPLE.recipient.node_id]
    assert verify_content(GOOD, report, expected_nodes=[*nodes, SAMPLE.sender.node_id]).doubts == ()
    with pytest.raises(RemoteProtocolError) as caught:
        verify_content(GOOD, report, expected_nodes=nodes)
    assert caught.value.reason is Reason.MISMATCH


def test_a_letter_that_nobody_opened_is_disclosed_as_unopened() -> None:
    file = replace(SAMPLE.file(), events=SAMPLE.file().events[:2])
    assert held_against(GOOD, file).doubts == (ContentDoubt.NOT_OPENED,)


def _other_text() -> ContentFile:
    return ContentSample(text="Un autre texte.").content_file()


def _other_chunk() -> ContentFile:
    data = bytearray(SAMPLE.chunks[0])
    data[0] ^= 1
    return replace(GOOD, chunks=(SentChunk(bytes(data), ()),))


def _stolen_name() -> ContentFile:
    """Entries that state another key for the sender's mailbox."""
    sample = ContentSample()
    entry = sample.sender.entry_evidence(sample.sender_entry)
    false = replace(MailboxEntry.decode(entry.entry), signing_key=sample.mailbox_secret.verify_key)
    index = sample.sender.publish(false, version=2)
    return replace(GOOD, nodes=(sample.sender.statements,), entries=(sample.sender.entry_evidence(index),))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_other_text, Reason.MISMATCH),
        (_other_chunk, Reason.BAD_PROOF),
        (_stolen_name, Reason.UNKNOWN_KEY),
        (lambda: replace(GOOD, letter=LetterId(bytes(16))), Reason.MISMATCH),
        (lambda: replace(GOOD, key=Secret(bytes(32))), Reason.BAD_COMMITMENT),
        (lambda: replace(GOOD, chunks=GOOD.chunks * 2), Reason.MALFORMED),
        (lambda: replace(GOOD, chunks=(replace(GOOD.chunks[0], path=(bytes(32),)),)), Reason.BAD_PROOF),
        (lambda: replace(GOOD, descriptor=bytes(72)), Reason.BAD_PADDING),
        (lambda: replace(GOOD, nodes=()), Reason.UNKNOWN_KEY),
        (lambda: replace(GOOD, nodes=(replace(GOOD.nodes[0], node=NodeId(bytes(32))),)), Reason.MISMATCH),
    ],
    ids=[
        "text",
        "chunk",
        "sender_key",
        "letter",
        "key",
        "chunk_twice",
        "path",
        "descriptor",
        "no_statements",
        "other_node",
    ],
)
def test_what_the_evidence_is_not_about_is_refused(make: Callable[[], ContentFile], reason: Reason) -> None:
    assert refused(make()) is reason


def test_evidence_of_another_letter_does_not_serve() -> None:
    # Of the same letter id, and of another payload.
    assert refused(GOOD, SampleLetter().file()) is Reason.MISMATCH


def test_an_opening_of_another_text_is_no_proof_of_this_one() -> None:
    other = ContentSample()
    other.digest = bytes(32)
    tag = LeafTag(bytes(16))
    index = other.recipient.log(EventKind.OPENED, other.opened(), time_ms=other.opened_at_ms, tag=tag)
    file = replace(other.file(), events=(*other.file().events[:2], other.recipient.evidence(index)))
    assert verify_evidence_file(file).ok
    assert refused(GOOD, file) is Reason.MISMATCH


def test_secrets_are_not_shown() -> None:
    assert GOOD.key.reveal().hex() not in repr(GOOD)
    assert repr(GOOD.key.reveal()) not in repr(GOOD)


@given(at=st.integers(0, len(RAW) - 1), bit=st.integers(0, 7))
def test_any_changed_byte_is_noticed(at: int, bit: int) -> None:
    changed = RAW[:at] + bytes([RAW[at] ^ (1 << bit)]) + RAW[at + 1 :]
    with pytest.raises(RemoteProtocolError):
        parse_content_file(changed)
    body = changed[: RAW.rindex(b"sha256 ")]
    if at >= len(body):
        return
    resealed = body + f"sha256 {sha256(body).hex()}\n".encode()
    with pytest.raises(RemoteProtocolError):
        verify_content(parse_content_file(resealed), verify_evidence_file(SAMPLE.file()))


@given(junk=st.binary(max_size=300))
def test_junk_is_refused(junk: bytes) -> None:
    for raw in (junk, b"coffre-content@v1\n" + junk):
        with pytest.raises(RemoteProtocolError):
            parse_content_file(raw)


def test_limits() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        parse_content_file(RAW + bytes(MAX_CONTENT_FILE_BYTES))
    assert caught.value.reason is Reason.TOO_LARGE
    for bad in (
        replace(GOOD, chunks=tuple(SentChunk(bytes([number]) * 20, ()) for number in range(35))),
        replace(GOOD, chunks=(SentChunk(GOOD.chunks[0].data, (bytes(32),) * 15),)),
        replace(GOOD, nodes=GOOD.nodes * 2),
        replace(GOOD, chunks=()),
    ):
        with pytest.raises(LocalProtocolError):
            write_content_file(bad)
