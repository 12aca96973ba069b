"""Answers and forwards: what they begin with. The words around a quotation are the caller's, in its language."""

from __future__ import annotations

from node.vault.draft_rows import DraftText
from protocol.letter import Letter

__all__ = ["answer_subject", "forward", "quoted", "reply"]

_WIDTH = 998


def answer_subject(subject: str, mark: str) -> str:
    """The subject with a mark such as `Re:` before it, once."""
    return subject if subject.lower().startswith(mark.lower()) else f"{mark} {subject}".strip()


def quoted(text: str) -> str:
    """A text, each line marked as another's."""
    return "\n".join(f"> {line}".rstrip() for line in text.rstrip().split("\n"))


def reply(letter: Letter, own: str, *, to_all: bool, head: str, signature: str = "") -> DraftText:
    """The beginning of an answer in the letter's thread, to its sender, or to everyone who has it.

    own: the answering mailbox's address; of an own letter its recipients are answered. head: the line above the
    quotation.
    """
    is_own = letter.sender.address == own
    first = tuple(item.address for item in letter.to) if is_own else (letter.sender.address,)
    others: tuple[str, ...] = ()
    if to_all:
        listed = [item.address for item in (*letter.to, *letter.cc)]
        others = tuple(address for address in dict.fromkeys(listed) if address not in (own, *first))
    return DraftText(
        to=first,
        cc=others,
        subject=_line(answer_subject(letter.subject, "Re:")),
        text=f"{_signed(signature)}\n\n{head}\n{quoted(letter.text)}\n",
        thread=letter.thread,
        letter_class=letter.letter_class,
    )


def forward(letter: Letter, *, head: str, signature: str = "") -> DraftText:
    """The beginning of a letter that hands another one on; not in its thread, which others follow."""
    return DraftText(
        subject=_line(answer_subject(letter.subject, "Fwd:")),
        text=f"{_signed(signature)}\n\n{head}\n\n{letter.text}\n",
    )


def _signed(signature: str) -> str:
    return f"\n\n{signature}" if signature else ""


def _line(subject: str) -> str:
    while len(subject.encode()) > _WIDTH:
        subject = subject[:-1]
    return subject
