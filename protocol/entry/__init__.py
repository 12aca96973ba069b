"""Directory entries: what an institution publishes about itself and its mailboxes. Spec: spec/directory.md, 2 to 4.

An entry is a strict msgpack map that travels beside its feed leaf and is committed to by it. Fields that this
version does not know are kept, so that a federation of mixed versions agrees on the bytes.
"""

from protocol.entry.absence import MAX_ABSENCE_MS, Absence
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
from protocol.entry.maintainer import MAINTAINER_SUBJECT, MaintainerEntry
from protocol.entry.standing import (
    Act,
    Endorsed,
    RevocationReason,
    SignedStanding,
    Standing,
    sign_standing,
    standing_subject,
)
from protocol.entry.totals import COUNTS, MIN_THRESHOLD, Seconds, Totals, ended_ms, totals_subject

__all__ = [
    "COUNTS",
    "LETTER_CLASSES",
    "MAINTAINER_SUBJECT",
    "MAX_ABSENCE_MS",
    "MAX_ENTRY_BYTES",
    "MIN_THRESHOLD",
    "Absence",
    "Accepts",
    "Act",
    "Endorsed",
    "EntryStatus",
    "FormerKey",
    "Identifier",
    "InstitutionEntry",
    "MailboxEntry",
    "MailboxKind",
    "MaintainerEntry",
    "RevocationReason",
    "Seconds",
    "SignedStanding",
    "Standing",
    "Totals",
    "ended_ms",
    "sign_standing",
    "standing_subject",
    "succession_message",
    "totals_subject",
]
