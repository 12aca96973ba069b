"""After any arrivals, moves, deletions and withdrawals the index says what a plain look at the letters says."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import trio
import trio.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from directory_sync.words import words
from node.errors import StateError
from node.vault.filing import HOME, Mark
from node.vault.mailbox_index.lists import Listed, View
from node.vault.mailbox_index.terms import Query
from node.vault.reading import LetterSummary
from node.vault.states import LetterFolder, Place
from tests.post.harness import Institution, settled
from tests.retention.years import pair

WORDS = ("bilan", "Bilans", "œdème", "écho", "échographie", "suivi", "12", "a")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.lists(st.sampled_from(WORDS), min_size=1, max_size=3)),
        st.tuples(
            st.sampled_from(["archive", "home", "delete", "restore", "open", "withdraw", "flag", "unread"]),
            st.integers(0, 9),
        ),
        st.tuples(st.sampled_from(["look", "rebuild"]), st.just(0)),
    ),
    min_size=1,
    max_size=12,
)


async def plain(b: Institution) -> list[LetterSummary]:
    """Every letter received, opened and checked one by one."""
    opened, found = b.people["bruno"], []
    for deleted in (False, True):
        found += await b.node.reading.page(opened, LetterFolder.INBOX, limit=1000, deleted=deleted)
    return found


async def step(a: Institution, b: Institution, kind: str, value: Any) -> None:
    """One thing that happens."""
    node, opened = b.node, b.people["bruno"]
    if kind == "send":
        await a.send("anna", "bruno@b.example", subject=" ".join(value))
        await settled()
    elif kind == "look":
        await node.index.update(opened, limit=2)
    elif kind == "rebuild":
        await node.index.rebuild(opened)
    elif kind == "withdraw":
        sent = await a.node.reading.page(a.people["anna"], LetterFolder.SENT, limit=1000)
        if value < len(sent):
            try:
                await a.node.withdrawals.request(a.people["anna"], sent[value].stored)
            except StateError:
                return  # it is being withdrawn already
            await settled()
    else:
        here = sorted((item.stored for item in await plain(b)), key=lambda stored: stored.row)
        if value >= len(here):
            return
        stored = here[value]
        if kind == "archive":
            await node.filing.move(opened, [stored.row], Place.ARCHIVE)
        elif kind == "home":
            await node.filing.move(opened, [stored.row], HOME)
        elif kind == "delete":
            await node.trash.delete_all(opened, [stored])
        elif kind == "restore":
            await node.trash.undelete_all(opened, [stored])
        elif kind in ("flag", "unread"):
            mark = Mark.FLAGGED if kind == "flag" else Mark.UNREAD
            await node.filing.mark(opened, [stored.row], mark, is_set=True)
        elif stored.state.name == "UNREAD":
            await node.reading.open(opened, stored)


def shown(letters: list[Listed]) -> dict[bytes, str | None]:
    return {item.row: None if item.summary is None else item.summary.subject for item in letters}


async def agrees(b: Institution) -> None:
    """Lists and searches against the letters themselves."""
    node, opened = b.node, b.people["bruno"]
    truth = await plain(b)
    subjects = {item.stored.row: None if item.letter is None else item.letter.subject for item in truth}
    listed: dict[bytes, str | None] = {}
    for view in (Place.INBOX, Place.ARCHIVE, View.TRASH):
        page = await node.lists.page(opened, view, limit=1000)
        assert not listed.keys() & shown(page.letters).keys()
        listed |= shown(page.letters)
    assert listed == subjects
    live = {item.stored.row: item.letter for item in truth if not item.stored.trashed_at_ms}
    for word in WORDS:
        (typed,) = words(word)
        expected = {
            row
            for row, letter in live.items()
            if letter is not None
            and any(
                found == typed or (len(typed) > 1 and found.startswith(typed))
                for text in (letter.subject, letter.text, letter.sender.address, "bruno@b.example", "anna", "bruno")
                for found in words(text)
            )
        }
        found = await node.lists.search(opened, Query.parse(word), limit=1000)
        assert {item.row for item in found.letters} == expected, word


@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_any_history(steps: list[tuple[str, Any]]) -> None:
    async def run() -> None:
        with tempfile.TemporaryDirectory(prefix="coffre-index-") as place:
            async with pair(Path(place), "sqlite") as (_, a, b):
                for kind, value in steps:
                    await step(a, b, kind, value)
                while await b.node.index.update(b.people["bruno"], limit=3):
                    pass
                await agrees(b)

    trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0))
