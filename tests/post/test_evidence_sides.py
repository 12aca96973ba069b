"""Evidence of one letter from both sides, of whole nodes: exported, merged, its content disclosed."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
import trio
import trio.testing

from node.errors import NotFoundError, StateError
from node.post.submit import Accepted
from node.vault import schema
from node.vault.evidence_export import export_evidence
from node.vault.states import LetterFolder
from protocol.content_file import parse_content_file, write_content_file
from protocol.content_report import verify_content
from protocol.entry import InstitutionEntry
from protocol.errors import Reason, RemoteProtocolError
from protocol.evidence_file import EvidenceFile, parse_evidence_file, write_evidence_file
from protocol.evidence_merge import merge_evidence_files
from protocol.evidence_report import verify_evidence_file
from protocol.letter import LetterClass
from protocol.logleaf import EventKind, LogLeaf
from tests.post.harness import Federation, Institution, settled
from tests.post.relays import relayed


async def exported(institution: Institution, row: bytes) -> EvidenceFile:
    """A letter's evidence as its file gives it to a stranger."""
    node = institution.node
    made = await export_evidence(node.database, node.keys, node.directory, node.outbox, row.hex())
    return parse_evidence_file(write_evidence_file(made))


async def received(institution: Institution, local: str, letter: Accepted) -> EvidenceFile:
    """The evidence that the recipient's node holds of a letter."""
    for summary in await institution.inbox(local):
        if summary.stored.signed_slip is None or summary.stored.slip.letter_id == letter.letter_id:
            return await exported(institution, summary.stored.row)
    raise AssertionError(f"{local} has no such letter")


def kinds(file: EvidenceFile) -> list[str]:
    report = verify_evidence_file(file)
    assert report.ok
    return [item.verified.kind.word for item in report.events if item.verified is not None]


async def test_each_side_exports_and_both_merge(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with Federation.opened(tmp_path) as made:
        a, b = await made.make("a", database=database_url), await made.make("b")
        await a.add("anna")
        await b.add("bruno")
        await made.acquaint()
        await made.start()
        await settled()
        letter = await a.send("anna", "bruno@b.example")
        await settled()
        early = await exported(a, letter.row)
        await b.read("bruno", letter)
        ours, theirs = await exported(a, letter.row), await received(b, "bruno", letter)
        assert kinds(early) == ["submitted", "deposited"]
        assert kinds(theirs) == ["deposited", "opened"]
        names = [item.verified.entry.names[0] for item in verify_evidence_file(theirs).entries
                 if item.verified and isinstance(item.verified.entry, InstitutionEntry)]  # fmt: skip
        assert sorted(names) == ["a", "b"]
        merged = merge_evidence_files(early, theirs)
        assert merged.conflicts == ()
        assert kinds(merged.file) == ["submitted", "deposited", "opened"]
        assert merge_evidence_files(theirs, early) == merged
        assert merge_evidence_files(merged.file, ours).conflicts == ()


async def test_a_relay_s_custody_is_in_the_sender_s_file(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with relayed(tmp_path) as made:
        letter = await made.a.send("anna", "paul@p.example")
        await settled()
        assert kinds(await exported(made.a, letter.row)) == ["submitted", "relayed", "deposited"]


async def test_withdrawal_delay_and_expiry_are_evidence(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with Federation.pair(tmp_path) as (_, a, b):
        withdrawn = await a.send("anna", "bruno@b.example")
        await settled()
        await a.withdraw("anna", withdrawn)
        await settled()
        assert sorted(kinds(await exported(a, withdrawn.row))) == [
            "deposited",
            "submitted",
            "withdraw_requested",
            "withdrawn",
        ]
        theirs = await received(b, "bruno", withdrawn)
        assert kinds(theirs) == ["deposited", "withdrawn"]
        assert merge_evidence_files(await exported(a, withdrawn.row), theirs).conflicts == ()
        await b.stop()
        late = await a.send("anna", "bruno@b.example", letter_class=LetterClass.URGENT)
        await trio.sleep(26 * 3600)
        assert kinds(await exported(a, late.row))[0] == "submitted"
        assert {"delayed", "expired"} <= set(kinds(await exported(a, late.row)))


async def test_either_side_discloses_the_content_on_record(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    scan = tmp_path / "scan.bin"
    scan.write_bytes(bytes(range(256)) * 3000)
    async with Federation.pair(tmp_path / "nodes") as (_, a, b):
        letter = await a.send("anna", "bruno@b.example", subject="Compte rendu", text="Voici.", files=[scan])
        other = await a.send("anna", "bruno@b.example", subject="Autre", text="Voici.")
        await settled()
        await b.read("bruno", letter)
        await settled()
        evidence = verify_evidence_file(await exported(a, letter.row))
        for side, local, folder in ((a, "anna", LetterFolder.SENT), (b, "bruno", LetterFolder.INBOX)):
            rows = [item.stored for item in await side.node.reading.page(side.people[local], folder)
                    if item.letter is not None and item.letter.letter_id == letter.letter_id]  # fmt: skip
            copy = await side.node.content_files.disclose(side.people[local], rows[0])
            raw = write_content_file(copy.file)
            assert len(copy.file.chunks) == 1  # of three
            found = verify_content(parse_content_file(raw), evidence)
            assert (found.signed.letter.subject, found.signed.letter.text) == ("Compte rendu", "Voici.")
            assert (found.sender_name, found.doubts) == ("Dr Anna Fictive", ())
            [attachment] = found.signed.letter.attachments
            assert (attachment.name, attachment.size) == ("scan.bin", 768_000)
            leaves = await side.node.database.read(_leaves)
            assert [leaf.kind for leaf in leaves].count(EventKind.CONTENT_DISCLOSED) == 1
            with pytest.raises(RemoteProtocolError) as caught:
                verify_content(copy.file, verify_evidence_file(await exported(a, other.row)))
            assert caught.value.reason is Reason.MISMATCH
        # What was disclosed is on record, and is no part of the letter's own evidence.
        assert "content_disclosed" not in kinds(await exported(a, letter.row))


async def test_a_withdrawn_letter_discloses_nothing(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with Federation.pair(tmp_path) as (_, a, b):
        letter = await a.send("anna", "bruno@b.example")
        await settled()
        [before] = await b.inbox("bruno")
        await a.withdraw("anna", letter)
        await settled()
        with pytest.raises(StateError, match="withdrawn"):
            await b.node.content_files.disclose(b.people["bruno"], before.stored)
        leaves = await b.node.database.read(_leaves)
        assert EventKind.CONTENT_DISCLOSED not in [leaf.kind for leaf in leaves]


async def test_there_is_no_evidence_of_what_is_not_there(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with Federation.pair(tmp_path) as (_, a, _b):
        with pytest.raises(NotFoundError):
            await exported(a, bytes(16))


def _leaves(connection: sa.Connection) -> list[LogLeaf]:
    return [LogLeaf.decode(raw) for raw in connection.execute(sa.select(schema.log_leaves.c.leaf)).scalars()]
