"""What a letter must be like to be accepted: its own limits, and those of each recipient's entry."""

from __future__ import annotations

from node.errors import ConfigError, LimitError, MovedError, RecipientError
from node.post.compose import Draft
from protocol.entry import EntryStatus, MailboxEntry
from protocol.letter import MAX_ATTACHMENTS, MAX_RECIPIENTS, MAX_SUBJECT_BYTES, MAX_TEXT_BYTES
from protocol.slip import MAX_LIFETIME_MS

__all__ = ["check_accepts", "check_draft", "total_bytes", "type_matches"]


def check_draft(draft: Draft) -> None:
    """What can be told of a letter by itself, before a byte of an attachment is read. ConfigError, LimitError."""
    if not draft.to:
        raise ConfigError("a letter has at least one recipient", hint="add --to ADDRESS")
    if len(draft.to) + len(draft.cc) > MAX_RECIPIENTS:
        raise LimitError(f"a letter has at most {MAX_RECIPIENTS} recipients")
    if len(draft.subject.encode()) > MAX_SUBJECT_BYTES or not draft.subject.isprintable():
        raise LimitError(f"a subject is one line of at most {MAX_SUBJECT_BYTES} bytes")
    if len(draft.text.encode()) > MAX_TEXT_BYTES or "\0" in draft.text:
        raise LimitError(f"a text has at most {MAX_TEXT_BYTES} bytes", hint="attach it as a file")
    if len(draft.attachments) > MAX_ATTACHMENTS:
        raise LimitError(f"a letter has at most {MAX_ATTACHMENTS} attachments")
    if draft.lifetime_ms is not None and not 60_000 <= draft.lifetime_ms <= MAX_LIFETIME_MS:
        raise LimitError("a deadline lies between 1 minute and 30 days from now")


def check_accepts(draft: Draft, entry: MailboxEntry) -> None:
    """Whether this mailbox takes the letter. MovedError, RecipientError, LimitError."""
    address, accepts = entry.address, entry.accepts
    if entry.status is not EntryStatus.OPEN:
        if entry.moved_to:
            raise MovedError(address, entry.moved_to)
        raise RecipientError(f"{address} is closed", hint="choose another recipient")
    if draft.letter_class not in accepts.classes:
        raise RecipientError(f"{address} takes no {draft.letter_class} letters")
    total = total_bytes(draft)
    if total > accepts.max_bytes:
        raise LimitError(f"{address} takes at most {accepts.max_bytes} bytes of attachments, these have {total}")
    for source in draft.attachments:
        if accepts.types and not any(type_matches(source.media_type, pattern) for pattern in accepts.types):
            raise RecipientError(f"{address} does not take {source.media_type} ({source.name})")


def total_bytes(draft: Draft) -> int:
    """The bytes of a draft's attachments."""
    return sum(source.size for source in draft.attachments)


def type_matches(media_type: str, pattern: str) -> bool:
    """Whether a media type is one of those that a pattern of an entry allows: `a/b`, `a/*`, `*/*`."""
    return pattern in (media_type, "*/*") or (
        pattern.endswith("/*") and media_type.startswith(pattern.removesuffix("*"))
    )
