"""One letter between two sample nodes, from submission to opening, for vectors and tests of evidence."""

from __future__ import annotations

from dataclasses import replace

from protocol.crypto import Secret
from protocol.details import Details, opened_statement
from protocol.entry import Accepts, InstitutionEntry, MailboxEntry, MailboxKind
from protocol.evidence_file import EvidenceFile
from protocol.ids import EnvelopeId, LeafTag, LetterId, MailboxId, NodeId, PayloadId, SlipId
from protocol.labels import Label
from protocol.logleaf import EventKind
from spec.vectors.sample_node import FROM_MS, SampleNode, bytes_of, seal_secret_of, signing_secret_of

__all__ = ["SampleLetter"]


class SampleLetter:
    """A letter submitted at `sender`, deposited at `recipient` and opened there by its one mailbox.

    Other events stand before, between and after in both logs. submitted, deposited, opening: indexes in
    those logs; institution_entry, mailbox_entry: in the recipient's feed.
    """

    def __init__(self) -> None:
        """Build both nodes and the whole story."""
        self.sender, self.recipient = SampleNode("fictive-hospital"), SampleNode("fictive-clinic")
        self.letter = LetterId(bytes_of("letter", 16))
        self.envelope = EnvelopeId(bytes_of("envelope"))
        self.mailbox = MailboxId(bytes_of("mailbox", 16))
        self.mailbox_secret = signing_secret_of("mailbox")
        self.reply_key = Secret(bytes_of("reply key"))
        self.digest = bytes_of("digest")
        self.opened_at_ms = FROM_MS + 3_600_000
        self._publish()
        self._log()

    def details(self, node: NodeId, peer: NodeId) -> Details:
        """The ids of this delivery, as the log of `node` gives them."""
        return Details(
            node=node,
            peer=peer,
            envelope=self.envelope,
            slip=SlipId(bytes_of("slip")),
            letter=self.letter,
            payload=PayloadId(bytes_of("payload")),
        )

    def at_recipient(self) -> Details:
        """The ids of this delivery at the recipient's mailbox."""
        return replace(self.details(self.recipient.node_id, self.sender.node_id), mailbox=self.mailbox)

    def opened(self) -> Details:
        """The details of the opening, with the signature of the mailbox's key."""
        role = "owner"
        message = opened_statement(
            envelope=self.envelope, mailbox=self.mailbox, digest=self.digest, time_ms=self.opened_at_ms, role=role
        )
        signature = self.mailbox_secret.sign(Label.OPENED, message)
        return replace(self.at_recipient(), role=role, digest=self.digest, signature=signature)

    def _publish(self) -> None:
        institution = InstitutionEntry(
            names=("Clinique Fictive",), kind="clinic", domains=("clinic.example",), statement=0
        )
        mailbox = MailboxEntry(
            mailbox=self.mailbox,
            kind=MailboxKind.PERSON,
            address="aline.fictive@clinic.example",
            name="Dr Aline Fictive",
            signing_key=self.mailbox_secret.verify_key,
            seal_key=seal_secret_of("mailbox").seal_key,
            accepts=Accepts(max_bytes=2**31),
        )
        self.institution_entry = self.recipient.publish(institution)
        self.mailbox_entry = self.recipient.publish(mailbox)

    def _log(self) -> None:
        for node in (self.sender, self.recipient):
            node.log(EventKind.STARTED, Details(node=node.node_id), time_ms=FROM_MS, tag=LeafTag(bytes(16)))
        self.submitted = self.sender.log(
            EventKind.SUBMITTED,
            self.details(self.sender.node_id, self.recipient.node_id),
            time_ms=FROM_MS + 1_000,
            tag=LeafTag(bytes_of("tag at sender", 16)),
        )
        tag = LeafTag(bytes_of("tag at recipient", 16))
        self.deposited = self.recipient.log(EventKind.DEPOSITED, self.at_recipient(), time_ms=FROM_MS + 2_000, tag=tag)
        self.recipient.log(
            EventKind.ALERTED,
            Details(node=self.recipient.node_id, mailbox=self.mailbox, code="mail"),
            time_ms=FROM_MS + 3_000,
            tag=tag,
        )
        self.opening = self.recipient.log(EventKind.OPENED, self.opened(), time_ms=self.opened_at_ms, tag=tag)
        for node in (self.sender, self.recipient):
            node.log(EventKind.STOPPED, Details(node=node.node_id), time_ms=FROM_MS + 9_000_000, tag=LeafTag(bytes(16)))

    def file(self) -> EvidenceFile:
        """The evidence of the whole story."""
        return EvidenceFile(
            letter=self.letter,
            nodes=(self.sender.statements, self.recipient.statements),
            events=(
                self.sender.evidence(self.submitted),
                self.recipient.evidence(self.deposited),
                self.recipient.evidence(self.opening),
            ),
            entries=(
                self.recipient.entry_evidence(self.institution_entry),
                self.recipient.entry_evidence(self.mailbox_entry),
            ),
        )
