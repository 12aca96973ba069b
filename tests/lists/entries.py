"""Entries for tests of lists: drawn ones, and one to read rows against."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from hypothesis import strategies as st

from protocol.entry import LETTER_CLASSES, Accepts, Identifier, MailboxEntry, MailboxKind
from spec.vectors.make_feed import SUBJECTS, mailbox

__all__ = ["BLANK", "entries", "lines"]

BLANK: Final = replace(mailbox(SUBJECTS[0]), name="blank", town="")
"""What a new mailbox is before its row is read."""

# What parts cells, rows and lists; what a spreadsheet takes for a formula; what is written in several bytes.
_TRICKY: Final = st.sampled_from(
    ["\\", ";", "|", '"', "'", ",", "=1+1", "@", "-", "é", "\u00a0", "漢", "🩺", " ", ":", "<", "#"]
)


_PLAIN: Final = st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), max_size=6)


def lines(least: int = 0) -> st.SearchStrategy[str]:
    """Lines as entries have them, of at most 200 bytes, without space around them. least: 1 for none that are empty."""
    pieces = st.lists(st.one_of(_TRICKY, _PLAIN), min_size=least, max_size=8)
    return pieces.map(lambda some: "".join(some).strip() or "x" * least)


_words = st.sampled_from(["fr", "nl", "en-GB", "de"])
_types = st.sampled_from(["application/pdf", "image/*", "text/plain"])


def entries() -> st.SearchStrategy[MailboxEntry]:
    """Entries with anything in the fields that lists tell."""
    accepts = st.builds(
        Accepts,
        st.integers(1, 2**53),
        st.lists(st.sampled_from(LETTER_CLASSES), min_size=1, unique=True).map(tuple),
        st.lists(_types, unique=True).map(tuple),
    )
    identifier = st.builds(Identifier, lines(1), lines(1))
    return st.builds(
        lambda **fields: replace(BLANK, **fields),
        kind=st.sampled_from(MailboxKind),
        name=lines(1),
        accepts=accepts,
        profession=lines(),
        specialty=lines(),
        unit=lines(),
        town=lines(),
        purpose=lines(),
        languages=st.lists(_words, unique=True).map(tuple),
        identifiers=st.lists(identifier, max_size=4, unique=True).map(tuple),
        listed=st.booleans(),
    )
