"""What an evidence file proves to a reader who has nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocol.checkpoint import CheckpointVerifier, feed_origin, log_origin
from protocol.details import Details, opened_statement
from protocol.entry import FormerKey, InstitutionEntry, MailboxEntry
from protocol.entry_evidence import EntryEvidence, verify_entry_evidence
from protocol.errors import Reason, RemoteProtocolError
from protocol.evidence import Evidence
from protocol.evidence_file import EvidenceFile, parse_evidence_file, write_evidence_file
from protocol.evidence_findings import Defect, Doubt, Report
from protocol.evidence_report import verify_evidence_file
from protocol.feed import OperationKind, make_operation, snapshot_operation
from protocol.ids import LeafTag, MailboxId, NodeId
from protocol.labels import Label
from protocol.logleaf import EventKind
from spec.vectors.sample_letter import SampleLetter
from spec.vectors.sample_node import FROM_MS, SampleNode, bytes_of, signing_secret_of

DEPUTY = MailboxId(bytes_of("deputy", 16))


def report_of(file: EvidenceFile) -> Report:
    """The report as a stranger gets it: from the written file alone."""
    return verify_evidence_file(parse_evidence_file(write_evidence_file(file)))


def logged(node: SampleNode, kind: EventKind, details: Details, time_ms: int = FROM_MS) -> Evidence:
    return node.evidence(node.log(kind, details, time_ms=time_ms, tag=LeafTag(bytes(16))))


def test_a_stranger_learns_who_got_what_when_and_who_opened_it() -> None:
    letter = SampleLetter()
    report = report_of(letter.file())
    assert report.ok
    assert report.letter == letter.letter
    submitted, deposited, opened = (item.verified for item in report.events)
    assert submitted is not None
    assert deposited is not None
    assert opened is not None
    assert [item.kind.word for item in (submitted, deposited, opened)] == ["submitted", "deposited", "opened"]
    assert deposited.details.peer == submitted.details.node == letter.sender.node_id
    institution, mailbox = (item.verified.entry for item in report.entries if item.verified is not None)
    assert isinstance(institution, InstitutionEntry)
    assert isinstance(mailbox, MailboxEntry)
    assert mailbox.mailbox == deposited.details.mailbox == opened.details.mailbox
    assert (mailbox.name, mailbox.domain in institution.domains) == ("Dr Aline Fictive", True)


def test_the_reader_s_own_knowledge_of_the_nodes_settles_the_doubt() -> None:
    letter = SampleLetter()
    assert report_of(letter.file()).doubts == {Doubt.NODE_UNCONFIRMED}
    expected = [letter.sender.node_id, letter.recipient.node_id]
    assert verify_evidence_file(letter.file(), expected_nodes=expected).doubts == frozenset()
    assert not verify_evidence_file(letter.file(), expected_nodes=[]).ok


def _by_deputy(letter: SampleLetter, key_word: str) -> EvidenceFile:
    secret = signing_secret_of(key_word)
    message = opened_statement(
        envelope=letter.envelope,
        mailbox=letter.mailbox,
        digest=letter.digest,
        time_ms=letter.opened_at_ms,
        role="deputy",
    )
    signature = secret.sign(Label.OPENED, message)
    details = replace(letter.opened(), role="deputy", actor=DEPUTY, signature=signature)
    opened = logged(letter.recipient, EventKind.OPENED, details, letter.opened_at_ms)
    mailbox = letter.file().entries[1].entry
    entry = replace(
        MailboxEntry.decode(mailbox),
        mailbox=DEPUTY,
        address="deputy@clinic.example",
        signing_key=signing_secret_of("deputy").verify_key,
    )
    index = letter.recipient.publish(entry)
    entries = (letter.recipient.entry_evidence(letter.institution_entry), letter.recipient.entry_evidence(index))
    return replace(letter.file(), events=(opened,), entries=entries)


def test_an_opening_by_a_deputy_is_signed_by_the_deputy() -> None:
    report = report_of(_by_deputy(SampleLetter(), "deputy"))
    assert report.ok
    assert report.doubts == {Doubt.NODE_UNCONFIRMED}


def test_an_opening_in_a_deputy_s_name_signed_by_the_owner_is_refused() -> None:
    report = report_of(_by_deputy(SampleLetter(), "mailbox"))
    assert [item.defect.reason for item in report.events if item.defect] == [Reason.BAD_SIGNATURE]


def test_a_former_key_counts_for_its_time() -> None:
    letter = SampleLetter()
    current = MailboxEntry.decode(letter.file().entries[1].entry)
    new = signing_secret_of("new mailbox key")
    former = FormerKey(current.signing_key, FROM_MS, letter.opened_at_ms + 1)
    renewed = replace(current, signing_key=new.verify_key, former_keys=(former,), reset_at_ms=letter.opened_at_ms + 1)
    index = letter.recipient.publish(renewed, version=2)
    entries = (letter.recipient.entry_evidence(letter.institution_entry), letter.recipient.entry_evidence(index))
    assert report_of(replace(letter.file(), entries=entries)).ok
    late = replace(renewed, former_keys=(replace(former, until_ms=letter.opened_at_ms),))
    index = letter.recipient.publish(late, version=3)
    report = report_of(replace(letter.file(), entries=(letter.recipient.entry_evidence(index),)))
    assert [item.defect.reason for item in report.events if item.defect] == [Reason.BAD_SIGNATURE]


@pytest.mark.parametrize(
    ("kind", "at_sender", "code"),
    [
        (EventKind.DELAYED, True, None),
        (EventKind.RESEALED, True, "own_key"),
        (EventKind.EXPIRED, True, None),
        (EventKind.WITHDRAW_REQUESTED, True, None),
        (EventKind.REFUSED, False, "closed"),
        (EventKind.WITHDRAWN, False, None),
        (EventKind.WITHDRAW_TOO_LATE, False, None),
        (EventKind.COLLECTED, False, None),
        (EventKind.UNREADABLE, False, "bad_letter"),
        (EventKind.ALERTED, False, "mail"),
        (EventKind.RELAYED, False, None),
    ],
    ids=lambda value: value.word if isinstance(value, EventKind) else None,
)
def test_every_kind_of_a_letter_s_way_has_its_place(kind: EventKind, at_sender: bool, code: str | None) -> None:
    letter = SampleLetter()
    if at_sender:
        node = letter.sender
        details = replace(letter.details(node.node_id, letter.recipient.node_id), mailbox=letter.mailbox, code=code)
    else:
        node = letter.recipient
        details = replace(letter.at_recipient(), code=code, role="application")
    events = (letter.sender.evidence(letter.submitted), logged(node, kind, details))
    report = report_of(replace(letter.file(), events=events, entries=()))
    assert report.ok
    assert [item.verified.kind for item in report.events if item.verified] == [EventKind.SUBMITTED, kind]


def test_a_refusal_of_the_whole_envelope_is_in_the_sender_s_log() -> None:
    letter = SampleLetter()
    node = letter.sender
    details = replace(letter.details(node.node_id, letter.recipient.node_id), mailbox=letter.mailbox, code="bad_box")
    events = (node.evidence(letter.submitted), logged(node, EventKind.REFUSED, details))
    assert report_of(replace(letter.file(), events=events, entries=())).ok


def test_a_refusal_between_others_is_none_of_this_letter() -> None:
    letter = SampleLetter()
    details = replace(letter.at_recipient(), peer=NodeId(bytes(32)), code="closed")
    events = (letter.sender.evidence(letter.submitted), logged(letter.recipient, EventKind.REFUSED, details))
    report = report_of(replace(letter.file(), events=events, entries=()))
    assert [item.defect.reason for item in report.events if item.defect] == [Reason.MISMATCH]


@pytest.mark.parametrize("kind", [EventKind.MAILBOX_CREATED, EventKind.PEER_ACCEPTED, EventKind.EPOCH_OPENED])
def test_what_concerns_no_letter_has_no_place(kind: EventKind) -> None:
    letter = SampleLetter()
    event = logged(letter.recipient, kind, replace(letter.at_recipient(), code="code"))
    report = report_of(replace(letter.file(), events=(event,), entries=()))
    assert [item.defect for item in report.events] == [Defect(Reason.MISMATCH, f"{kind.word} is no event of a letter")]


def test_one_bad_item_does_not_spoil_the_others() -> None:
    letter = SampleLetter()
    file = letter.file()
    events = (file.events[0], replace(file.events[1], opening=bytes(32)), file.events[2])
    report = report_of(replace(file, events=events))
    assert [item.defect is None for item in report.events] == [True, False, True]
    assert not report.ok


def _entry_verifier(letter: SampleLetter) -> CheckpointVerifier:
    return CheckpointVerifier(letter.recipient.node_id, letter.recipient.chain.log_keys())


def _entry_defect(letter: SampleLetter, evidence: EntryEvidence) -> Reason:
    with pytest.raises(RemoteProtocolError) as caught:
        verify_entry_evidence(evidence, _entry_verifier(letter))
    return caught.value.reason


def test_an_entry_names_its_node_version_and_place() -> None:
    letter = SampleLetter()
    verified = verify_entry_evidence(letter.file().entries[1], _entry_verifier(letter))
    assert (verified.node, verified.version, verified.index) == (letter.recipient.node_id, 1, letter.mailbox_entry)
    assert verified.checkpoint.origin == feed_origin(letter.recipient.node_id, 1)


def test_an_entry_for_another_mailbox_than_its_leaf_s() -> None:
    letter = SampleLetter()
    good = letter.file().entries[1]
    leaf = make_operation(OperationKind.MAILBOX, DEPUTY, 1, good.entry, good.opening).leaf.encode()
    assert _entry_defect(letter, replace(good, leaf=leaf)) is Reason.MISMATCH


def test_leaves_that_publish_nothing() -> None:
    letter = SampleLetter()
    good = letter.file().entries[1]
    erase = make_operation(OperationKind.ERASE, DEPUTY, 1, good.entry, good.opening).leaf.encode()
    assert _entry_defect(letter, replace(good, leaf=erase)) is Reason.MALFORMED
    snapshot = snapshot_operation({}).leaf.encode()
    assert _entry_defect(letter, replace(good, leaf=snapshot)) is Reason.MALFORMED


def test_an_entry_in_a_log_is_not_published() -> None:
    letter = SampleLetter()
    good = letter.file().entries[1]
    node = letter.recipient
    assert good.proof.checkpoint == node.feed_head()
    under_log = node.feed_head(log_origin(node.node_id, 1))
    assert _entry_defect(letter, replace(good, proof=replace(good.proof, checkpoint=under_log))) is Reason.MISMATCH
