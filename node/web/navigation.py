"""What the side of each page of a mailbox shows: folders, and how many letters in them are unread.

Spec: spec/web.md, 8.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from node.errors import StateError
from node.vault.access import BOTH_RIGHTS, OpenMailbox
from node.vault.mail_folders import OwnFolder
from protocol.delegation import Right

if TYPE_CHECKING:
    from node.app import Node

__all__ = ["NOTHING", "Navigation", "navigation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Navigation:
    """unread: by place. may_write: whether this session may file, mark and delete."""

    unread: Mapping[int, int] = field(default_factory=dict)
    folders: tuple[OwnFolder, ...] = ()
    may_write: bool = False


NOTHING: Final = Navigation()


async def navigation(node: Node, opened: OpenMailbox) -> Navigation:
    """For a mailbox as a session opened it; nothing where the session may not read."""
    rights = BOTH_RIGHTS if opened.actor is None else opened.actor.rights

    def read(connection: sa.Connection) -> Navigation:
        return Navigation(
            unread=node.lists.unread_now(connection, opened),
            folders=tuple(node.mail_folders.all_now(connection, opened)),
            may_write=Right.WRITE in rights,
        )

    try:
        return await node.database.read(read)
    except StateError:
        return NOTHING
