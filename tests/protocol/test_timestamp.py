"""Timestamps in evidence files: what they add, and what is wrong with false ones."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.crypto import sha256
from protocol.errors import Reason, RemoteProtocolError
from protocol.evidence_file import EvidenceFile, parse_evidence_file, write_evidence_file
from protocol.evidence_findings import Doubt, Report
from protocol.evidence_report import verify_evidence_file
from protocol.timestamp import (
    MAX_TOKEN_BYTES,
    TsaRoots,
    head_imprint,
    read_timestamp,
    stamped_head,
    verify_timestamp,
)
from spec.vectors.sample_letter import SampleLetter
from spec.vectors.sample_timestamps import (
    CA,
    EXPIRED_CA,
    EXPIRED_TOKEN,
    FOREIGN_TOKEN,
    OTHER_CA,
    OTHER_TOKEN,
    SHA512_TOKEN,
    TOKEN,
)

ROOTS = TsaRoots.from_pem(CA)
STAMP = read_timestamp(TOKEN)
DAY_MS = 86_400_000


def report_of(file: EvidenceFile, roots: TsaRoots | None = ROOTS) -> Report:
    """The report as a stranger gets it: from the written file alone."""
    return verify_evidence_file(parse_evidence_file(write_evidence_file(file)), tsa_roots=roots)


def stamped(*tokens: bytes) -> EvidenceFile:
    return replace(SampleLetter().file(), timestamps=tokens)


def test_events_below_a_stamped_head_existed_before() -> None:
    report = report_of(stamped(TOKEN))
    assert report.ok
    (finding,) = report.timestamps
    assert finding.stamp == STAMP
    assert finding.head is not None
    assert (finding.head.size, finding.doubts) == (5, ())
    assert [item.existed_at_ms for item in report.events] == [None, STAMP.time_ms, STAMP.time_ms]


def test_without_the_authority_s_certificate_it_is_read_and_not_believed() -> None:
    report = report_of(stamped(TOKEN), None)
    assert report.ok
    assert report.timestamps[0].doubts == (Doubt.TIMESTAMP_UNCONFIRMED,)
    assert all(item.existed_at_ms is None for item in report.events)


@pytest.mark.parametrize(
    ("token", "roots", "reason"),
    [
        (OTHER_TOKEN, CA, Reason.MISMATCH),
        (FOREIGN_TOKEN, CA, Reason.BAD_SIGNATURE),
        (TOKEN, OTHER_CA, Reason.BAD_SIGNATURE),
        (EXPIRED_TOKEN, EXPIRED_CA, Reason.BAD_SIGNATURE),
        (SHA512_TOKEN, CA, Reason.MALFORMED),
        (b"junk", CA, Reason.MALFORMED),
        (TOKEN + b"\0", CA, Reason.MALFORMED),
        (TOKEN[:-1], CA, Reason.MALFORMED),
    ],
    ids=["other_head", "other_authority", "other_root", "expired", "sha512", "junk", "longer", "cut"],
)
def test_a_false_timestamp_is_a_defect_and_spoils_nothing_else(token: bytes, roots: bytes, reason: Reason) -> None:
    report = report_of(stamped(token), TsaRoots.from_pem(roots))
    assert [item.defect.reason for item in report.timestamps if item.defect] == [reason]
    assert all(item.verified and item.existed_at_ms is None for item in report.events)
    assert not report.ok


def test_several_authorities_may_be_trusted() -> None:
    report = report_of(stamped(TOKEN, FOREIGN_TOKEN), ROOTS + TsaRoots.from_pem(OTHER_CA))
    assert report.ok
    assert len(report.timestamps) == 2


def test_a_stamp_from_before_the_loss_ends_the_doubt_about_a_lost_key() -> None:
    for bad_from_ms, doubted in ((STAMP.time_ms + DAY_MS, False), (STAMP.time_ms - DAY_MS, True)):
        letter = SampleLetter()
        file = replace(letter.file(), timestamps=(TOKEN,), entries=())
        letter.recipient.recover(bad_from_ms=bad_from_ms)
        nodes = (letter.sender.statements, letter.recipient.statements)
        report = report_of(replace(file, nodes=nodes))
        assert report.ok
        assert (Doubt.LOST_KEY in report.doubts) is doubted
        assert Doubt.LOST_KEY in report_of(replace(file, nodes=nodes), None).doubts


def test_other_signature_lines_of_a_head_are_not_stamped() -> None:
    head = SampleLetter().recipient.log_head()
    cosigned = head + "\u2014 witness.example AAAAAHNpZ25hdHVyZQ==\n".encode()
    assert stamped_head(cosigned) == head
    assert head_imprint(cosigned) == STAMP.imprint
    with pytest.raises(RemoteProtocolError) as caught:
        stamped_head(head.replace("\u2014 coffre".encode(), "\u2014 other".encode()))
    assert caught.value.reason is Reason.UNKNOWN_KEY


def test_a_file_has_at_most_64_timestamps_and_none_twice() -> None:
    raw = write_evidence_file(stamped(TOKEN))
    at = raw.index(b"timestamp ")
    line, body = raw[at : raw.index(b"\n", at) + 1], raw[: raw.rindex(b"sha256 ")]
    tokens = [
        line.replace(b" M", b" " + bytes([65 + number % 26, 65 + number // 26]) + b"AAM", 1) for number in range(65)
    ]
    for lines, reason in (((line, line), Reason.MALFORMED), (tokens, Reason.TOO_LARGE)):
        text = body.replace(line, b"".join(lines))
        with pytest.raises(RemoteProtocolError) as caught:
            parse_evidence_file(text + f"sha256 {sha256(text).hex()}\n".encode())
        assert caught.value.reason is reason


def test_a_token_has_a_limit() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        read_timestamp(TOKEN + bytes(MAX_TOKEN_BYTES))
    assert caught.value.reason is Reason.TOO_LARGE


def test_no_changed_byte_says_anything_else() -> None:
    """What the signature does not cover (an algorithm's name) may change; hash, time, policy and authority may not."""
    for at in range(len(TOKEN)):
        for bit in (1, 0x80):
            changed = TOKEN[:at] + bytes([TOKEN[at] ^ bit]) + TOKEN[at + 1 :]
            try:
                found = verify_timestamp(changed, ROOTS)
            except RemoteProtocolError:
                continue
            assert found == STAMP


@given(junk=st.binary(max_size=200), at=st.integers(0, len(TOKEN)))
def test_junk_raises_only_what_is_declared(junk: bytes, at: int) -> None:
    for token in (junk, TOKEN[:at] + junk + TOKEN[at:], TOKEN[:at] + junk):
        try:
            read_timestamp(token)
        except RemoteProtocolError:
            continue
        assert token == TOKEN or read_timestamp(token).imprint == STAMP.imprint


def test_no_certificates() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        TsaRoots.from_pem(b"no certificate")
    assert caught.value.reason is Reason.BAD_CERTIFICATE
