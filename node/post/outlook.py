"""What a letter would meet if it were sent now, recipient by recipient, as kinds that any language can word.

The submitter decides; this only tells beforehand. Spec: spec/web.md, 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import sqlalchemy as sa

from directory_sync.lookalikes import Caution, CautionKind
from node.errors import RecipientError, StoreError
from node.post.draft_checks import type_matches
from node.vault.directory import Directory
from node.vault.draft_files import DraftFile
from node.vault.last_openings import LastOpenings
from node.vault.lookalike_book import Cautions
from protocol.entry import EntryStatus, MailboxEntry
from protocol.ids import MailboxId
from protocol.letter import LetterClass, normalise_address

__all__ = ["Obstacle", "ObstacleKind", "Outlook", "RecipientOutlook", "look_ahead"]


class ObstacleKind(StrEnum):
    """Why a letter cannot go to a recipient as it is."""

    NO_ADDRESS = "no_address"
    UNKNOWN = "unknown"
    CLOSED = "closed"
    MOVED = "moved"
    LETTER_CLASS = "letter_class"
    TOO_LARGE = "too_large"
    MEDIA_TYPE = "media_type"


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """One of them. others: addresses to write to instead. limit: in bytes. file: the name of the file it is about."""

    kind: ObstacleKind
    others: tuple[str, ...] = ()
    limit: int = 0
    file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientOutlook:
    """One recipient as typed. entry, institution: None and empty where it is unknown.

    opened: year and month in which it last opened or collected a letter from here; None if that is not known.
    """

    typed: str
    entry: MailboxEntry | None
    institution: str
    obstacles: tuple[Obstacle, ...]
    cautions: tuple[Caution, ...]
    opened: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """All recipients, each once."""

    recipients: tuple[RecipientOutlook, ...]

    @property
    def asking(self) -> tuple[Caution, ...]:
        """What a person should say yes to before the letter goes."""
        return tuple(caution for item in self.recipients for caution in item.cautions if caution.asks)


def look_ahead(
    connection: sa.Connection,
    directory: Directory,
    cautions: Cautions,
    openings: LastOpenings,
    sender: MailboxId,
    typed: Sequence[str],
    *,
    letter_class: LetterClass,
    files: Sequence[DraftFile] = (),
) -> Outlook:
    """Look at the recipients of a draft, in one snapshot."""
    told = cautions.look(connection, sender, typed)
    seen: dict[str, RecipientOutlook] = {}
    for text in typed:
        key = text.strip().lower()
        if key not in seen:
            seen[key] = _look(connection, directory, told, openings, text, letter_class, files)
    return Outlook(recipients=tuple(seen.values()))


def _look(
    connection: sa.Connection,
    directory: Directory,
    told: Sequence[Caution],
    openings: LastOpenings,
    text: str,
    letter_class: LetterClass,
    files: Sequence[DraftFile],
) -> RecipientOutlook:
    try:
        address = normalise_address(text)
        found = directory.find(connection, address)
    except ValueError:
        obstacle = Obstacle(kind=ObstacleKind.NO_ADDRESS)
    except RecipientError as error:
        obstacle = Obstacle(kind=ObstacleKind.UNKNOWN, others=error.nearest)
    else:
        try:
            institution = directory.institution(connection, found.node).names[0]
        except StoreError:
            institution = ""
        return RecipientOutlook(
            typed=text,
            entry=found.entry,
            institution=institution,
            obstacles=tuple(_obstacles(found.entry, letter_class, files)),
            cautions=tuple(
                item
                for item in told
                if item.address == address and item.kind not in (CautionKind.CLOSED, CautionKind.MOVED)
            ),
            opened=openings.find(connection, found.node, found.entry.mailbox),
        )
    return RecipientOutlook(typed=text, entry=None, institution="", obstacles=(obstacle,), cautions=())


def _obstacles(entry: MailboxEntry, letter_class: LetterClass, files: Sequence[DraftFile]) -> list[Obstacle]:
    if entry.status is not EntryStatus.OPEN:
        if entry.moved_to:
            return [Obstacle(kind=ObstacleKind.MOVED, others=(entry.moved_to,))]
        return [Obstacle(kind=ObstacleKind.CLOSED)]
    found = []
    if letter_class not in entry.accepts.classes:
        found.append(Obstacle(kind=ObstacleKind.LETTER_CLASS))
    if sum(file.size for file in files) > entry.accepts.max_bytes:
        found.append(Obstacle(kind=ObstacleKind.TOO_LARGE, limit=entry.accepts.max_bytes))
    found += [
        Obstacle(kind=ObstacleKind.MEDIA_TYPE, file=file.name)
        for file in files
        if entry.accepts.types and not any(type_matches(file.media_type, item) for item in entry.accepts.types)
    ]
    return found
