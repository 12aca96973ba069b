"""Who is meant by the ids of an evidence file, and texts from outside made harmless to show."""

from __future__ import annotations

import unicodedata

from node.reports.rendering import N_, Language
from protocol.entry import InstitutionEntry, MailboxEntry
from protocol.evidence_findings import Report
from protocol.ids import MailboxId, NodeId
from protocol.logleaf import EventKind

__all__ = ["Names", "plain"]

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def plain(text: str) -> str:
    """A text from outside that can neither move a terminal's cursor nor turn the direction of what follows."""
    return "".join("\ufffd" if unicodedata.category(character) in _HIDDEN else character for character in text)


_AT_SENDER = frozenset(
    {
        EventKind.SUBMITTED,
        EventKind.DELAYED,
        EventKind.RESEALED,
        EventKind.EXPIRED,
        EventKind.WITHDRAW_REQUESTED,
        EventKind.PICKUP_OFFERED,
    }
)


class Names:
    """Who is meant by the ids of a file, as its entries say."""

    def __init__(self, report: Report, language: Language) -> None:
        self._language = language
        self._institutions: dict[NodeId, str] = {}
        self._mailboxes: dict[tuple[NodeId, MailboxId], str] = {}
        self._senders = {
            item.verified.details.node
            for item in report.events
            if item.verified is not None and item.verified.kind in _AT_SENDER
        }
        for finding in report.entries:
            if finding.verified is None:
                continue
            node, entry = finding.verified.node, finding.verified.entry
            if isinstance(entry, MailboxEntry):
                self._mailboxes[node, entry.mailbox] = plain(f"{entry.name} <{entry.address}>")
            elif isinstance(entry, InstitutionEntry):
                self._institutions[node] = plain(entry.names[0])

    def is_sender(self, node: NodeId) -> bool:
        """Whether this node sent the letter, as an event of its log says."""
        return node in self._senders

    def institution(self, node: NodeId | None) -> str:
        """The institution's name."""
        if node is None:
            return self._language.text(N_("another institution"))
        return self._institutions.get(node) or self._language.text(N_("an institution that the file does not name"))

    def mailbox(self, nodes: tuple[NodeId | None, ...], mailbox: MailboxId | None) -> str:
        """Name and address of a mailbox at one of these nodes."""
        if mailbox is None:
            return self._language.text(N_("the recipient"))
        for node in nodes:
            if node is not None and (node, mailbox) in self._mailboxes:
                return self._mailboxes[node, mailbox]
        return self._language.text(N_("the mailbox {id}"), id=mailbox.text)
