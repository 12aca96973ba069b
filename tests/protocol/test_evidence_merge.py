"""Two evidence files of one letter as one: nothing lost, nothing hidden, the order of no matter."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.details import Details
from protocol.errors import Reason, RemoteProtocolError
from protocol.evidence import Evidence
from protocol.evidence_file import EvidenceFile, parse_evidence_file, write_evidence_file
from protocol.evidence_findings import Doubt
from protocol.evidence_merge import Conflict, ConflictKind, Merged, merge_evidence_files
from protocol.evidence_report import verify_evidence_file
from protocol.ids import LeafTag, LetterId
from protocol.logleaf import EventKind
from protocol.timestamp import TsaRoots
from spec.vectors.sample_letter import SampleLetter
from spec.vectors.sample_node import FROM_MS, SampleNode
from spec.vectors.sample_timestamps import CA, OTHER_TOKEN, TOKEN

LETTER = SampleLetter()
WHOLE = LETTER.file()


def alerted(letter: SampleLetter, code: str = "email") -> Evidence:
    """An event that only the recipient's node holds."""
    details = replace(letter.at_recipient(), code=code)
    index = letter.recipient.log(EventKind.ALERTED, details, time_ms=FROM_MS + 2_500, tag=LeafTag(bytes(16)))
    return letter.recipient.evidence(index)


def merged(one: EvidenceFile, other: EvidenceFile) -> Merged:
    """Both, in either order; the file is one that can be read again."""
    made = merge_evidence_files(one, other)
    assert made == merge_evidence_files(other, one)
    assert parse_evidence_file(write_evidence_file(made.file)) == made.file
    for again in (one, other, made.file):
        assert merge_evidence_files(made.file, again).file == made.file
    return made


def test_each_side_brings_what_the_other_lacks() -> None:
    letter = SampleLetter()
    ours = replace(letter.file(), events=letter.file().events[:2])
    own = alerted(letter)
    theirs = EvidenceFile(
        letter=letter.letter,
        nodes=(letter.recipient.statements,),
        events=(letter.recipient.evidence(letter.deposited), own, letter.recipient.evidence(letter.opening)),
        entries=letter.file().entries,
    )
    made = merged(ours, theirs)
    assert made.conflicts == ()
    report = verify_evidence_file(made.file)
    assert report.ok
    kinds = [item.verified.kind.word for item in report.events if item.verified]
    assert kinds == ["submitted", "deposited", "alerted", "opened"]
    # One leaf under two heads is kept under the larger one.
    (deposited,) = (item for item in made.file.events if item.leaf == letter.recipient.evidence(letter.deposited).leaf)
    assert deposited.proof.checkpoint == own.proof.checkpoint


@given(data=st.data())
def test_parts_of_a_file_make_the_file(data: st.DataObject) -> None:
    whole = replace(WHOLE, timestamps=(TOKEN,)).arranged()
    here = data.draw(st.lists(st.booleans(), min_size=3, max_size=3))
    events = [[item for item, mine in zip(whole.events, here, strict=True) if mine is side] for side in (True, False)]
    parts = [replace(whole, events=tuple(items) or whole.events) for items in events]
    assert merged(*parts).file == whole


def test_two_letters_are_not_mixed() -> None:
    other = replace(WHOLE, letter=LetterId(bytes(16)))
    with pytest.raises(RemoteProtocolError) as caught:
        merge_evidence_files(WHOLE, other)
    assert caught.value.reason is Reason.MISMATCH


def test_evidence_of_another_letter_under_this_one_s_name_is_found_by_verifying() -> None:
    stray = replace(LETTER.at_recipient(), letter=LetterId(bytes(16)))
    node = SampleLetter().recipient
    event = node.evidence(node.log(EventKind.DEPOSITED, stray, time_ms=FROM_MS, tag=LeafTag(bytes(16))))
    made = merged(WHOLE, replace(WHOLE, events=(event,)))
    assert [item.defect.reason for item in verify_evidence_file(made.file).events if item.defect] == [Reason.MISMATCH]


def test_a_fork_between_the_files_is_named_and_stays() -> None:
    told, hidden = SampleLetter(), SampleLetter()
    one = replace(told.file(), events=(alerted(told, "email"),))
    other = replace(hidden.file(), events=(alerted(hidden, "webhook"),))
    made = merged(one, other)
    origin = f"coffre/{told.recipient.node_id.text}/log/1"
    assert made.conflicts == (Conflict(ConflictKind.HEADS, f"{origin}/6"), Conflict(ConflictKind.PLACE, f"{origin}/5"))
    assert [item.defect.reason for item in verify_evidence_file(made.file).events if item.defect] == [Reason.FORK]


def test_one_leaf_with_two_contents_is_named_and_stays() -> None:
    forged = replace(WHOLE.events[1], opening=bytes(32))
    made = merged(WHOLE, replace(WHOLE, events=(WHOLE.events[0], forged)))
    place = f"coffre/{LETTER.recipient.node_id.text}/log/1/{LETTER.deposited}"
    assert made.conflicts == (Conflict(ConflictKind.OPENING, place),)
    report = verify_evidence_file(made.file)
    assert [item.defect.reason for item in report.events if item.defect] == [Reason.BAD_COMMITMENT]
    assert len([item for item in report.events if item.verified]) == 3


@pytest.mark.parametrize("change", ["renew", "recover"])
def test_the_longer_chain_of_a_node_is_kept_across_key_changes(change: str) -> None:
    letter = SampleLetter()
    before = letter.file()
    if change == "renew":
        letter.recipient.renew()
        letter.recipient.renew()
    else:
        letter.recipient.recover(bad_from_ms=FROM_MS + 30 * 86_400_000)
        letter.recipient.renew()
    details = replace(letter.at_recipient(), code="email")
    index = letter.recipient.log(EventKind.ALERTED, details, time_ms=FROM_MS + 9_999_999, tag=LeafTag(bytes(16)))
    after = replace(letter.file(), events=(letter.recipient.evidence(index),))
    made = merged(before, after)
    assert made.conflicts == ()
    statements = {item.node: item.statements for item in made.file.nodes}
    assert len(statements[letter.recipient.node_id]) == 3
    report = verify_evidence_file(made.file)
    assert report.ok
    # Under the lost key the old proofs are in doubt; the merged file has no other for them.
    doubted = Doubt.LOST_KEY in report.doubts
    assert doubted is (change == "recover")


def test_a_proof_under_the_new_key_replaces_one_under_the_lost_key() -> None:
    letter = SampleLetter()
    before = letter.file()
    letter.recipient.recover(bad_from_ms=FROM_MS)
    anew = letter.file()
    # Same size, same root, another signature: the tie is broken the same way in either order.
    details = Details(node=letter.recipient.node_id)
    letter.recipient.log(EventKind.STARTED, details, time_ms=FROM_MS + 9_999_999, tag=LeafTag(bytes(16)))
    later = letter.file()
    assert merged(before, anew).conflicts == ()
    report = verify_evidence_file(merged(before, later).file)
    assert report.ok
    assert all(Doubt.LOST_KEY not in item.doubts for item in report.events)


def test_statements_that_make_no_chain_are_named_and_the_sound_ones_kept() -> None:
    stranger = SampleNode("fictive-stranger")
    false = replace(LETTER.recipient.statements, statements=stranger.statements.statements)
    made = merged(WHOLE, replace(WHOLE, nodes=(LETTER.sender.statements, false)))
    assert made.conflicts == (Conflict(ConflictKind.STATEMENTS, LETTER.recipient.node_id.text),)
    assert LETTER.recipient.statements in made.file.nodes
    assert verify_evidence_file(made.file).ok


def test_the_stamped_head_is_kept_with_its_timestamp() -> None:
    letter = SampleLetter()
    stamped = replace(letter.file(), timestamps=(TOKEN,))
    alerted(letter)
    larger = letter.file()
    made = merged(stamped, larger)
    assert made.file.timestamps == (TOKEN,)
    report = verify_evidence_file(made.file, tsa_roots=TsaRoots.from_pem(CA))
    assert report.ok
    assert all(item.existed_at_ms for item in report.events[1:])


def test_a_timestamp_without_its_head_goes_and_one_that_nobody_can_read_stays() -> None:
    made = merged(replace(WHOLE, timestamps=(OTHER_TOKEN,)), replace(WHOLE, timestamps=(b"junk", TOKEN)))
    assert set(made.file.timestamps) == {b"junk", TOKEN}
