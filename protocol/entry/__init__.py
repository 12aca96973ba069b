"""Directory entries: what an institution publishes about itself and its mailboxes. Spec: spec/directory.md, 2 to 4.

An entry is a strict msgpack map that travels beside its feed leaf and is committed to by it. Fields that this
version does not know are kept, so that a federation of mixed versions agrees on the bytes.
"""

from protocol.entry.fields import MAX_ENTRY_BYTES, EntryStatus
from protocol.entry.institution import InstitutionEntry
from protocol.entry.mailbox import (
    LETTER_CLASSES,
    Accepts,
    FormerKey,
    Identifier,
    MailboxEntry,
    MailboxKind,
    succession_message,
)

__all__ = [
    "LETTER_CLASSES",
    "MAX_ENTRY_BYTES",
    "Accepts",
    "EntryStatus",
    "FormerKey",
    "Identifier",
    "InstitutionEntry",
    "MailboxEntry",
    "MailboxKind",
    "succession_message",
]
