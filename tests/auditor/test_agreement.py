"""Both sides of a letter: evidence and disclosures against the logs, and against each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from node.auditor.comparing import compare_with, held_heads
from node.auditor.places import AuditFolder
from node.errors import ConfigError
from protocol.checkpoint import Checkpoint, log_origin
from protocol.disclosure import Disclosure, Scope, write_disclosure
from protocol.logleaf import EventKind
from spec.vectors.sample_log import SampleLog
from spec.vectors.sample_node import FROM_MS, bytes_of
from tests.auditor.scene import Letter, codes, fetch, grave, made_log, verify


@dataclass(frozen=True, slots=True)
class Desk:
    """Two institutions, an auditor's folder, and where to put files."""

    place: Path
    hospital: SampleLog
    clinic: SampleLog

    @property
    def folder(self) -> Path:
        return self.place / "auditor"

    def fetch(self) -> None:
        for name in ("hospital", "clinic"):
            getattr(self, name).export(self.place / name)
            fetch(self.folder, self.place / name)

    def disclose(self, log: SampleLog, scope: Scope, places: Iterable[int], erased: Iterable[int] = ()) -> Path:
        made = log.disclose(scope, [(1, at) for at in places], erased=[(1, at) for at in erased])
        return self.write(f"{log.node.name}.txt", made)

    def write(self, name: str, made: Disclosure) -> Path:
        path = self.place / name
        path.write_bytes(write_disclosure(made))
        return path


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, made_log("fictive-hospital", 3), made_log("fictive-clinic", 5))


# -- evidence


def test_evidence_of_a_peer_is_found_in_the_log(desk: Desk) -> None:
    letter = Letter(desk.hospital, desk.clinic)
    letter.at_sender(EventKind.SUBMITTED)
    index = letter.at_recipient(EventKind.DEPOSITED)
    file = letter.evidence(desk.place / "evidence.txt", index)
    desk.fetch()
    audit = verify(desk.folder, file)
    assert audit.status == 0
    clinic = next(item for item in audit.institutions if item.node == desk.clinic.node.node_id)
    checked = {item.code: item.values for item in clinic.checked}
    assert (checked["evidence"], checked["others"]) == ({"count": 1}, {"count": 1})
    # Files laid into the folder are taken without being named.
    (desk.folder / "files").mkdir()
    file.rename(desk.folder / "files" / file.name)
    assert verify(desk.folder).status == 0


def test_a_node_that_leaves_out_a_refusal_is_named(desk: Desk) -> None:
    letter = Letter(desk.hospital, desk.clinic)
    index = letter.at_recipient(EventKind.REFUSED, code="mailbox_full")
    file = letter.evidence(desk.place / "evidence.txt", index)
    desk.clinic.epochs[1].pop()  # the log that is published does without
    desk.clinic.append(EventKind.STOPPED)
    desk.fetch()
    found = {item.code: item for item in verify(desk.folder, file).findings}
    assert set(found) == {"evidence_left_out", "head_disagrees"}
    assert found["evidence_left_out"].values["kind"] == "refused"
    assert found["evidence_left_out"].place == f"evidence.txt, epoch 1, leaf {index}"


def test_evidence_beyond_the_copy_is_open_or_a_history_taken_back(desk: Desk) -> None:
    desk.fetch()
    letter = Letter(desk.hospital, desk.clinic)
    file = letter.evidence(desk.place / "later.txt", letter.at_recipient(EventKind.DEPOSITED))
    audit = verify(desk.folder, file)
    assert (grave(audit.findings), audit.status) == (["evidence_later"], 3)
    deposited = desk.clinic.epochs[1].pop()
    desk.clinic.time_ms += 3_600_000
    desk.clinic.epochs[1].insert(0, desk.clinic.epochs[1].pop(0))
    assert deposited.leaf
    # The log ends before that leaf, though it has later ones: it was signed and taken back.
    shorter = made_log("fictive-clinic", 4)
    shorter.append(EventKind.STOPPED, time_ms=desk.clinic.time_ms)
    shorter.export(desk.place / "short")
    fetch(desk.place / "other", desk.place / "short")
    audit = verify(desk.place / "other", file)
    assert "rollback" in codes(audit.findings)
    assert audit.status == 1


def test_evidence_mixed_from_two_letters_is_named(desk: Desk) -> None:
    one, two = Letter(desk.hospital, desk.clinic), Letter(desk.hospital, desk.clinic, "another letter")
    indexes = one.at_recipient(EventKind.DEPOSITED), two.at_recipient(EventKind.DEPOSITED)
    file = one.evidence(desk.place / "mixed.txt", *indexes)
    desk.fetch()
    (finding,) = verify(desk.folder, file).findings
    assert (finding.code, finding.place, finding.values["number"]) == ("evidence_wrong", "mixed.txt", 2)
    assert "another letter" in str(finding.values["detail"])


def test_files_that_are_none_are_named(desk: Desk) -> None:
    letter = Letter(desk.hospital, desk.clinic)
    file = letter.evidence(desk.place / "evidence.txt", letter.at_recipient(EventKind.DEPOSITED))
    desk.fetch()
    file.write_bytes(file.read_bytes()[:-10])
    (desk.place / "nonsense").write_bytes(b"\xff\xfe")
    audit = verify(desk.folder, file, desk.place / "nonsense")
    assert [(item.code, item.place) for item in audit.findings] == [
        ("file_bad", "evidence.txt"),
        ("file_bad", "nonsense"),
    ]


# -- disclosures


def test_a_disclosed_letter_is_opened_and_both_sides_agree(desk: Desk) -> None:
    letter = Letter(desk.hospital, desk.clinic)
    sent = letter.at_sender(EventKind.SUBMITTED)
    there = [letter.at_recipient(EventKind.DEPOSITED), letter.at_recipient(EventKind.UNREADABLE, code="bad_box")]
    scope = Scope(letter=letter.id)
    files = [desk.disclose(desk.hospital, scope, [sent]), desk.disclose(desk.clinic, scope, there)]
    desk.fetch()
    audit = verify(desk.folder, *files)
    assert (audit.findings, audit.status) == ([], 0)
    assert {item.code: item.values for item in audit.checked} == {"links": {"count": 1}}
    assert len(audit.said) == 5  # and the first leaf of each epoch


def test_what_a_disclosure_leaves_out_is_named(desk: Desk) -> None:
    letter = Letter(desk.hospital, desk.clinic)
    deposited = letter.at_recipient(EventKind.DEPOSITED)
    refused = letter.at_recipient(EventKind.REFUSED, code="mailbox_full")
    file = desk.disclose(desk.clinic, Scope(letter=letter.id), [deposited])
    desk.fetch()
    (finding,) = [item for item in verify(desk.folder, file).findings if item.code == "disclosure_incomplete"]
    assert (finding.place, finding.values) == (f"{file.name}, epoch 1, leaf {refused}", {"kind": "refused"})
    # Named as erased, it is not missing.
    file = desk.disclose(desk.clinic, Scope(letter=letter.id), [deposited], erased=[refused])
    desk.fetch()
    assert verify(desk.folder, file).status == 0


def test_a_period_is_disclosed_whole_or_what_is_missing_is_named(desk: Desk) -> None:
    scope = Scope(from_ms=FROM_MS + 2500, until_ms=FROM_MS + 5500)  # leaves 2, 3 and 4
    file = desk.disclose(desk.clinic, scope, [2, 3, 4])
    desk.fetch()
    assert verify(desk.folder, file).status == 0
    file = desk.disclose(desk.clinic, scope, [2, 4])
    desk.fetch()
    found = [(item.code, item.place) for item in verify(desk.folder, file).findings]
    assert found == [("disclosure_incomplete", f"{file.name}, epoch 1, leaf 3")]


def test_an_event_outside_the_scope_and_a_false_record_are_named(desk: Desk) -> None:
    from dataclasses import replace

    scope = Scope(from_ms=FROM_MS + 2500, until_ms=FROM_MS + 3500)
    made = desk.clinic.disclose(scope, [(1, 2), (1, 4)])
    desk.fetch()
    outside = desk.write("outside.txt", made)
    assert codes(verify(desk.folder, outside).findings) == ["disclosure_wrong"]
    other = desk.write("record.txt", replace(made, made_at_ms=made.made_at_ms + 1))
    assert "disclosure_unrecorded" in codes(verify(desk.folder, other).findings)


def test_a_letter_that_one_side_does_not_know_is_named(desk: Desk) -> None:
    letter = Letter(desk.hospital, desk.clinic)
    deposited = letter.at_recipient(EventKind.DEPOSITED)
    scope = Scope(letter=letter.id)
    files = [desk.disclose(desk.hospital, scope, []), desk.disclose(desk.clinic, scope, [deposited])]
    desk.fetch()
    (finding,) = [item for item in verify(desk.folder, *files).findings if item.code == "end_missing"]
    assert (finding.values["who"], finding.values["other"], finding.values["kind"]) == (
        "clinic",
        "hospital",
        "deposited",
    )


def test_two_truths_about_a_letter_are_notes(desk: Desk) -> None:
    letter = Letter(desk.hospital, desk.clinic)
    sent = letter.at_sender(EventKind.SUBMITTED, time_ms=FROM_MS + 900_000)
    expired = letter.at_sender(EventKind.EXPIRED, mailbox=letter.mailbox)
    deposited = letter.at_recipient(EventKind.DEPOSITED, time_ms=FROM_MS + 10_000)
    scope = Scope(letter=letter.id)
    files = [desk.disclose(desk.hospital, scope, [sent, expired]), desk.disclose(desk.clinic, scope, [deposited])]
    desk.fetch()
    audit = verify(desk.folder, *files)
    assert (codes(audit.findings), audit.status) == (["clocks_apart", "late_success"], 0)


def test_a_letter_without_an_end_is_a_note(desk: Desk) -> None:
    letter = Letter(desk.hospital, desk.clinic)
    file = desk.disclose(desk.hospital, Scope(letter=letter.id), [letter.at_sender(EventKind.SUBMITTED)])
    desk.fetch()
    assert codes(verify(desk.folder, file).findings) == ["letter_unanswered"]


# -- epochs


@pytest.mark.parametrize(
    ("code", "found", "status"),
    [
        ("1/{size}/00", [], 0),
        ("1/900/00", ["epoch_break"], 0),
        ("1/2/00", ["epoch_wrong"], 1),
        ("nonsense", ["epoch_wrong"], 1),
        ("", ["epoch_unexplained"], 3),
    ],
    ids=["goes_on", "lost", "contradicts", "nonsense", "undisclosed"],
)
def test_an_epoch_explains_itself(desk: Desk, code: str, found: list[str], status: int) -> None:
    size = len(desk.clinic.epochs[1])
    desk.clinic.open_epoch(7, code.format(size=size) or "1/900/00")
    files = [desk.disclose(desk.clinic, Scope(from_ms=1, until_ms=2), [])] if code else []
    desk.fetch()
    audit = verify(desk.folder, *files)
    assert (codes(audit.findings), audit.status) == (found, status)


# -- two auditors


def test_a_fork_shown_to_one_auditor_alone_is_found_when_they_compare(desk: Desk) -> None:
    desk.fetch()
    other = desk.place / "second auditor"
    forked = made_log("fictive-clinic", 2)
    forked.append(EventKind.PEER_ACCEPTED, peer=desk.hospital.node.node_id)
    forked.export(desk.place / "forked")
    fetch(other, desk.place / "forked")
    assert verify(desk.folder).status == verify(other).status == 0
    (finding,) = compare_with(AuditFolder(desk.folder), other).found
    assert (finding.code, finding.values["size"]) == ("head_disagrees", 4)
    (desk.place / "heads.txt").write_bytes(held_heads(AuditFolder(other)))
    assert codes(compare_with(AuditFolder(desk.folder), desk.place / "heads.txt").found) == ["head_disagrees"]
    # From then on it is known: the proof stays in the folder.
    assert "fork" in codes(verify(desk.folder).findings)
    # The other auditor holds less: what there is does not contradict, and it is said that more was seen.
    assert codes(compare_with(AuditFolder(other), desk.folder).found) == ["beyond_copy"]


def test_auditors_who_saw_the_same_agree(desk: Desk) -> None:
    desk.fetch()
    other = desk.place / "second"
    desk.clinic.export(desk.place / "clinic")
    fetch(other, desk.place / "clinic")
    desk.clinic.grow(9)
    desk.fetch()
    findings = compare_with(AuditFolder(desk.folder), other)
    assert (findings.found, [item.values for item in findings.checked]) == ([], [{"count": 1}])
    (desk.place / "nonsense").write_bytes(b"coffre-heads@v1\n")
    with pytest.raises(ConfigError, match="no file of heads"):
        compare_with(AuditFolder(desk.folder), desk.place / "nonsense")


def test_a_head_from_the_future_of_another_auditor_is_open(desk: Desk) -> None:
    desk.fetch()
    origin = log_origin(desk.clinic.node.node_id, 1)
    head = desk.clinic.sign(Checkpoint(origin, 5000, bytes_of("later")))
    copy = AuditFolder(desk.folder).copy_of(desk.clinic.node.node_id)
    (copy.path / "heads/1/5000-0011223344556677").write_bytes(head)
    audit = verify(desk.folder)
    assert (codes(audit.findings), audit.status) == (["beyond_copy"], 3)
