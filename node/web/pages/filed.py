"""What a letter's page shows beside the letter: where it is filed, and the other letters of its thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from node.vault.access import OpenMailbox
from node.vault.mailbox_index.lists import Listed
from node.vault.reading import OpenedLetter

if TYPE_CHECKING:
    from node.app import Node

__all__ = ["Filed", "filed"]

_AT_ONCE: Final = 40
"""Letters indexed before a thread is shown."""


@dataclass(frozen=True, slots=True)
class Filed:
    """line: the letter as lists have it; None if it was erased meanwhile. thread: the other letters, oldest first."""

    line: Listed | None
    thread: list[Listed]


async def filed(node: Node, mailbox: OpenMailbox, opened: OpenedLetter) -> Filed:
    """For the value `filed` of letter.html. The thread is as far as the index has it."""
    await node.index.update(mailbox, limit=_AT_ONCE)
    thread = await node.lists.thread(mailbox, opened.letter.thread)
    line = await node.lists.line(mailbox, opened.stored.row)
    return Filed(line, [item for item in thread if item.row != opened.stored.row])
