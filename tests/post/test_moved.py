"""Somebody moved: the notice, the refusal, and the new letter. Spec: spec/delivery.md, 14."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing

from node.errors import MovedError, RecipientError, StateError
from node.vault.evidence_export import export_evidence
from node.vault.search.directory_search import SearchQuery
from node.vault.states import DeliveryState
from protocol.entry import EntryStatus, MailboxEntry
from protocol.evidence_report import verify_evidence_file
from protocol.logleaf import EventKind
from tests.post.harness import Federation, Institution, settled
from tests.post.sharing_scene import entry_of, events

BRUNO, BERTA = "bruno@b.example", "berta@b.example"


async def close(b: Institution, local: str, moved_to: str = "") -> None:
    await b.node.mailboxes.close(f"{local}@b.example", moved_to=moved_to)


async def test_letter_under_way_is_refused_and_the_new_address_is_shown(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with Federation.pair(tmp_path) as (federation, a, b):
        await b.add("berta")
        await settled()
        await federation.hub.cut()
        letter = await a.send("anna", BRUNO, subject="En route")
        await close(b, "bruno", BERTA)
        federation.hub.mend()
        await trio.sleep(7200)

        timeline = await a.timeline("anna", letter)
        [line] = timeline.recipients
        assert (line.state, line.code, line.moved_to) == (DeliveryState.REFUSED, "moved", BERTA)
        [refused] = [event for event in timeline.events if event.kind is EventKind.REFUSED]
        assert (refused.code, refused.own) == ("moved", False)
        # The evidence has the code and an id; the address stands in the entry that the file encloses.
        node = a.node
        file = await export_evidence(node.database, node.keys, node.directory, node.outbox, letter.row.hex())
        report = verify_evidence_file(file)
        assert report.ok
        moved = {
            item.verified.entry.moved_to
            for item in report.entries
            if item.verified and isinstance(item.verified.entry, MailboxEntry)
        }
        assert BERTA in moved
        assert [details.code for _, details in events(b, EventKind.MAILBOX_CLOSED)] == ["moved"]


async def test_whoever_writes_or_searches_there_is_told(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with Federation.pair(tmp_path) as (_, a, b):
        await close(b, "bruno", "bruno@c.example")  # at an institution that nobody here knows yet
        await settled()
        entry = entry_of(a, BRUNO)
        assert (entry.status, entry.moved_to) == (EntryStatus.CLOSED, "bruno@c.example")
        with pytest.raises(MovedError) as caught:
            await a.send("anna", BRUNO)
        assert caught.value.moved_to == "bruno@c.example"
        assert caught.value.nearest == ("bruno@c.example",)
        page = a.node.database.read_now(a.node.directory.search.page, SearchQuery(text="Bruno@b.example"))
        assert (page.matches, page.moved_to) == ((), "bruno@c.example")
        assert a.node.database.read_now(a.node.directory.search.page, SearchQuery(text="bruno")).moved_to == ""
        with pytest.raises(RecipientError, match=r"no mailbox bruno@c\.example is known"):
            await a.send("anna", "bruno@c.example")


async def test_notice_may_come_later_and_be_corrected(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with Federation.pair(tmp_path) as (_, a, b):
        await b.add("berta")
        await close(b, "bruno")
        with pytest.raises(StateError, match="closed already"):
            await close(b, "bruno")
        for new in ("bruno@c.example", BERTA):
            await close(b, "bruno", new)
            await settled()
            assert entry_of(a, BRUNO).moved_to == new
        with pytest.raises(StateError, match="closed already"):
            await close(b, "bruno", BERTA)


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        pytest.param(BRUNO, "is the mailbox that is to be closed", id="itself"),
        pytest.param("nobody@b.example", "no open mailbox of this node", id="unknown"),
        pytest.param("berta@b.example", "no open mailbox of this node", id="closed"),
    ],
)
async def test_notice_that_leads_nowhere_is_refused(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, new: str, reason: str
) -> None:
    async with Federation.pair(tmp_path) as (_, _a, b):
        await b.add("berta")
        await close(b, "berta")
        with pytest.raises(StateError, match=reason):
            await close(b, "bruno", new)
        assert entry_of(b, BRUNO).status is EntryStatus.OPEN
        assert (await b.node.mailboxes.find(BRUNO)).status == "open"


async def test_closed_without_a_notice_is_closed(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with Federation.pair(tmp_path) as (federation, a, b):
        await federation.hub.cut()
        letter = await a.send("anna", BRUNO)
        await close(b, "bruno")
        federation.hub.mend()
        await trio.sleep(7200)
        [line] = (await a.timeline("anna", letter)).recipients
        assert (line.state, line.code, line.moved_to) == (DeliveryState.REFUSED, "closed", "")
