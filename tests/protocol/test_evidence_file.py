"""Evidence files: nothing in them can change unnoticed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.crypto import sha256
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.evidence_file import MAX_EVIDENCE_FILE_BYTES, EvidenceFile, parse_evidence_file, write_evidence_file
from protocol.evidence_report import verify_evidence_file
from protocol.tlogproof import TlogProof
from spec.vectors.sample_letter import SampleLetter
from spec.vectors.sample_node import SampleNode

LETTER = SampleLetter()
FILE = LETTER.file()
RAW = write_evidence_file(FILE)
CHECKSUM_AT = RAW.rindex(b"sha256 ")


def sealed(body: bytes) -> bytes:
    """The file with this body and a checksum that fits."""
    return body + f"sha256 {sha256(body).hex()}\n".encode()


def test_a_file_reads_back_as_it_was_written() -> None:
    assert parse_evidence_file(RAW) == FILE


def test_any_changed_byte_is_noticed() -> None:
    for at in range(len(RAW)):
        changed = RAW[:at] + bytes([RAW[at] ^ 1]) + RAW[at + 1 :]
        with pytest.raises(RemoteProtocolError):
            parse_evidence_file(changed)


@given(data=st.data())
def test_any_changed_byte_is_noticed_though_the_checksum_was_made_anew(data: st.DataObject) -> None:
    at, bit = data.draw(st.integers(0, CHECKSUM_AT - 1)), 1 << data.draw(st.integers(0, 7))
    body = RAW[:at] + bytes([RAW[at] ^ bit]) + RAW[at + 1 : CHECKSUM_AT]
    try:
        file = parse_evidence_file(sealed(body))
    except RemoteProtocolError:
        return
    assert not verify_evidence_file(file).ok


@given(data=st.data())
def test_any_changed_byte_of_a_cosigned_file_is_noticed(data: st.DataObject) -> None:
    witnesses = SampleNode("one"), SampleNode("two")
    event = LETTER.recipient.cosigned_evidence(LETTER.deposited, *witnesses, time_s=1_790_000_060)
    nodes = (*FILE.nodes, *(node.statements for node in witnesses))
    raw = write_evidence_file(replace(FILE, nodes=nodes, events=(event,), entries=()))
    body = raw[: raw.rindex(b"sha256 ")]
    first = body.index(b"\xe2\x80\x94")  # the lines of the head, where most of what is new stands
    at, bit = data.draw(st.integers(first, len(body) - 1)), 1 << data.draw(st.integers(0, 7))
    try:
        file = parse_evidence_file(sealed(body[:at] + bytes([body[at] ^ bit]) + body[at + 1 :]))
    except RemoteProtocolError:
        return
    assert not verify_evidence_file(file).ok


@given(data=st.data())
def test_a_file_that_was_cut_is_refused(data: st.DataObject) -> None:
    end = data.draw(st.integers(0, len(RAW) - 1))
    with pytest.raises(RemoteProtocolError):
        parse_evidence_file(RAW[:end])


@pytest.mark.parametrize("word", [b"statement", b"event", b"entry"])
def test_nothing_stands_there_twice(word: bytes) -> None:
    at = RAW.index(b"\n" + word) + 1
    end = RAW.index(b"\n", at) + 1 if word == b"statement" else RAW.index(b"\nend\n", at) + 5
    with pytest.raises(RemoteProtocolError) as caught:
        parse_evidence_file(sealed(RAW[:end] + RAW[at:end] + RAW[end:CHECKSUM_AT]))
    assert caught.value.reason is Reason.MALFORMED


@given(data=st.data())
def test_a_line_more_fewer_or_moved_is_noticed(data: st.DataObject) -> None:
    lines = RAW[:CHECKSUM_AT].split(b"\n")
    at, to = (data.draw(st.integers(0, len(lines) - 2)) for _ in range(2))
    line = lines[at]
    edited = list(lines)
    match data.draw(st.sampled_from(["drop", "double", "move"])):
        case "drop":
            del edited[at]
        case "double":
            edited.insert(to, line)
        case _:
            edited.insert(to, edited.pop(at))
    if edited == lines:
        return
    try:
        file = parse_evidence_file(sealed(b"\n".join(edited)))
    except RemoteProtocolError:
        return
    # Lists may be written in another order: hashes of one proof moved among themselves are found by verifying.
    assert not verify_evidence_file(file).ok


@given(junk=st.binary(max_size=400))
def test_junk_is_refused(junk: bytes) -> None:
    for raw in (junk, sealed(junk), sealed(b"coffre-evidence@v1\n" + junk)):
        with pytest.raises(RemoteProtocolError):
            parse_evidence_file(raw)


def test_what_is_larger_than_any_file_is_not_looked_at() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        parse_evidence_file(RAW + bytes(MAX_EVIDENCE_FILE_BYTES))
    assert caught.value.reason is Reason.TOO_LARGE


@pytest.mark.parametrize(
    "file",
    [
        replace(FILE, events=()),
        replace(FILE, nodes=()),
        replace(FILE, nodes=(FILE.nodes[0], FILE.nodes[0])),
        replace(FILE, events=(replace(FILE.events[0], details=b""),)),
        replace(FILE, events=(replace(FILE.events[0], proof=TlogProof(0, (), b"no head\n")),)),
    ],
    ids=["no_events", "no_nodes", "node_twice", "no_details", "no_head"],
)
def test_a_file_that_nobody_could_read_is_not_written(file: EvidenceFile) -> None:
    with pytest.raises(LocalProtocolError):
        write_evidence_file(file)


def test_a_letter_to_a_thousand_mailboxes_fits() -> None:
    # Each mailbox: deposited, opened and its entry, under proofs as long as those of a log with a million leaves.
    proof = replace(FILE.events[0].proof, hashes=tuple(bytes([level]) * 32 for level in range(20)))
    openings = [number.to_bytes(32, "big") for number in range(1000)]
    events = tuple(replace(item, opening=opening, proof=proof) for item in FILE.events[1:] for opening in openings)
    entries = tuple(replace(item, opening=opening, proof=proof) for item in FILE.entries[1:] for opening in openings)
    raw = write_evidence_file(replace(FILE, events=events, entries=entries))
    assert len(raw) < MAX_EVIDENCE_FILE_BYTES
