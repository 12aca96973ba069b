"""Finding the one letter that a command is about."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from node.cli.common import opened_mailbox, opened_node

if TYPE_CHECKING:
    from node.app import Node
    from node.vault.access import OpenMailbox
    from node.vault.reading import StoredLetter

__all__ = ["one_letter"]


@asynccontextmanager
async def one_letter(
    context: typer.Context,
    mailbox: str,
    letter_id: str,
    *,
    sent: bool | None,
    password_file: Path | None,
    acting_for: str,
) -> AsyncIterator[tuple[Node, OpenMailbox, StoredLetter]]:
    """The node, the mailbox opened with its password, and the letter in it whose id begins like that.

    sent: among the sent ones, or the received ones; None: among both. acting_for: see `opened_mailbox`.
    """
    from node.vault.states import LetterFolder

    folder = None if sent is None else LetterFolder.SENT if sent else LetterFolder.INBOX
    async with opened_node(context) as node:
        opened = await opened_mailbox(node, mailbox, password_file, acting_for)
        yield node, opened, await node.reading.find(opened, folder, letter_id)
