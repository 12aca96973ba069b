"""What the events, doubts and defects of evidence mean, in plain words. Spec: spec/evidence.md, 5 and 10."""

from __future__ import annotations

from typing import Final

from node.reports.rendering import N_
from protocol.content_report import ContentDoubt
from protocol.errors import Reason
from protocol.evidence_findings import Doubt
from protocol.logleaf import EventKind

__all__ = [
    "DOUBTS",
    "GIVEN_UP_BY_SENDER",
    "MEANINGS",
    "NAMES",
    "OPENED_BY_ANOTHER",
    "OUTSIDE_TOLD",
    "REASONS",
    "REFUSED_BY_SENDER",
    "SENTENCES",
    "SOMEBODY_OUTSIDE",
    "STATES",
]

NAMES: Final = {
    EventKind.SUBMITTED: N_("submission"),
    EventKind.RELAYED: N_("custody at a relay"),
    EventKind.DELAYED: N_("warning of a delay"),
    EventKind.RESEALED: N_("sealed again"),
    EventKind.DEPOSITED: N_("deposit"),
    EventKind.REFUSED: N_("refusal"),
    EventKind.EXPIRED: N_("expiry"),
    EventKind.WITHDRAWN: N_("withdrawal"),
    EventKind.WITHDRAW_TOO_LATE: N_("withdrawal, too late"),
    EventKind.WITHDRAW_REQUESTED: N_("wish to withdraw"),
    EventKind.ALERTED: N_("alert"),
    EventKind.ERASURE_DUE: N_("warning of erasure"),
    EventKind.ERASED_UNREAD: N_("erasure, unread"),
    EventKind.OPENED: N_("opening"),
    EventKind.COLLECTED: N_("collection"),
    EventKind.UNREADABLE: N_("unreadable"),
    EventKind.DOWNLOADED: N_("download"),
    EventKind.DELETED: N_("deletion"),
    EventKind.UNDELETED: N_("deletion undone"),
    EventKind.REMINDED: N_("reminder"),
    EventKind.ESCALATED: N_("alert to deputies or on call"),
    EventKind.SENDER_TOLD: N_("word to the sender that it waits"),
    EventKind.PICKUP_OFFERED: N_("offer to somebody outside"),
    EventKind.PICKUP_REVOKED: N_("end of an offer to outside"),
    EventKind.PICKED_UP: N_("opening from outside"),
    EventKind.PICKUP_FAILED: N_("wrong code"),
}
"""What each kind is called."""

SENTENCES: Final = {
    EventKind.SUBMITTED: N_("{institution} accepted the letter, to be sent to {peer}."),
    EventKind.RELAYED: N_("{institution}, a relay, took the sealed letter into its keeping."),
    EventKind.DELAYED: N_("{peer} had not answered yet: {institution} warned the sender."),
    EventKind.RESEALED: N_("Keys had been replaced meanwhile: {institution} sealed the letter to {peer} again."),
    EventKind.DEPOSITED: N_("{institution} put the letter, whole, into the mailbox of {recipient}."),
    EventKind.REFUSED: N_("{institution} refused the letter for {recipient} (reason: {code})."),
    EventKind.EXPIRED: N_("The deadline passed: {institution} knew of no delivery to {recipient}."),
    EventKind.WITHDRAWN: N_("{institution} removed the letter for {recipient}, unopened, at the sender's wish."),
    EventKind.WITHDRAW_TOO_LATE: N_("The sender wished the letter back when {recipient} had opened it already."),
    EventKind.WITHDRAW_REQUESTED: N_("{institution} asked {peer} to give the letter back."),
    EventKind.ALERTED: N_("{institution} told {recipient} that a letter waits (by: {code})."),
    EventKind.OPENED: N_("{recipient} opened the letter."),
    EventKind.COLLECTED: N_("The letter was collected for {recipient}, by an application or without a signing key."),
    EventKind.UNREADABLE: N_("The letter was opened for {recipient} and could not be read (reason: {code})."),
    EventKind.ERASURE_DUE: N_(
        "{institution} will erase the letter for {recipient} on {code} unless somebody opens it."
    ),
    EventKind.ERASED_UNREAD: N_("{institution} erased the letter for {recipient}, which nobody had opened."),
    EventKind.DOWNLOADED: N_("Attachments were handed out to {recipient} (which: {code})."),
    EventKind.DELETED: N_("The letter was put into the trash of {recipient} (copy: {code})."),
    EventKind.UNDELETED: N_("The letter was put back from the trash of {recipient} (copy: {code})."),
    EventKind.REMINDED: N_("{recipient} had not opened the letter: {institution} sent a reminder (after {code})."),
    EventKind.ESCALATED: N_("{institution} told who stands in for {recipient} that a letter waits (after {code})."),
    EventKind.SENDER_TOLD: N_(
        "{institution} told the sender that {recipient} has not opened the letter (after {code})."
    ),
    EventKind.PICKUP_OFFERED: N_("{institution} offered the letter to somebody outside (link and code by: {code})."),
    EventKind.PICKUP_REVOKED: N_("Link and code open the letter no more (by: {code})."),
    EventKind.PICKED_UP: N_("Somebody outside opened the letter with link and code."),
    EventKind.PICKUP_FAILED: N_("Somebody had the link and gave a wrong code (attempt {code})."),
}
"""{institution}: whose log says so. {peer}: the institution on the other side."""

REFUSED_BY_SENDER: Final = N_("{institution} was told that {peer} refuses the letter for {recipient} (reason: {code}).")
GIVEN_UP_BY_SENDER: Final = N_("{institution} forwards the letter for {recipient} no more: its administrator ended it.")
OUTSIDE_TOLD: Final = N_("{institution} sent the link to somebody outside (by: {code}).")
SOMEBODY_OUTSIDE: Final = N_("somebody outside")
OPENED_BY_ANOTHER: Final = {
    "deputy": N_("{actor} opened the letter as the deputy of {recipient}."),
    "member": N_("{actor} opened the letter as a member of {recipient}."),
}

STATES: Final = {
    EventKind.SUBMITTED: N_("on its way"),
    EventKind.DELAYED: N_("late"),
    EventKind.DEPOSITED: N_("delivered, no opening shown"),
    EventKind.REFUSED: N_("refused"),
    EventKind.EXPIRED: N_("not delivered in time"),
    EventKind.WITHDRAWN: N_("withdrawn, unopened"),
    EventKind.OPENED: N_("opened"),
    EventKind.COLLECTED: N_("collected"),
    EventKind.UNREADABLE: N_("delivered, unreadable"),
    EventKind.ERASED_UNREAD: N_("erased, never opened"),
    EventKind.PICKUP_OFFERED: N_("offered by link and code, not opened"),
    EventKind.PICKED_UP: N_("opened with link and code"),
}


MEANINGS: Final = {
    EventKind.SUBMITTED: (
        N_("The sender's institution held the sealed letter from then on and undertook to deliver it."),
        N_("That it arrived."),
    ),
    EventKind.RELAYED: (
        N_("The relay kept the sealed letter, which it cannot read."),
        N_("That it arrived; only the recipient's institution can say so."),
    ),
    EventKind.DELAYED: (N_("The sender was warned that no answer had come."), N_("That the letter did not arrive.")),
    EventKind.RESEALED: (
        N_("The same letter, to the same mailboxes and with the same deadline, was put into a new envelope."),
        N_("That it arrived."),
    ),
    EventKind.DEPOSITED: (
        N_("The whole letter lay in this mailbox: from then on the recipient could open it."),
        N_("That anybody read it."),
    ),
    EventKind.REFUSED: (
        N_("The letter does not lie in this mailbox, and will not, for the reason given."),
        N_("Whether the reason was justified."),
    ),
    EventKind.EXPIRED: (
        N_("The sender's institution had no evidence of a delivery when the deadline passed, and told the sender."),
        N_("That the letter did not arrive: the other side may have taken it without answering."),
    ),
    EventKind.WITHDRAWN: (
        N_("The letter was removed before anybody opened it, and cannot arrive later."),
        N_("Why the sender wished it back."),
    ),
    EventKind.WITHDRAW_TOO_LATE: (
        N_("The letter was open before the wish came."),
        N_("Why the sender wished it back."),
    ),
    EventKind.WITHDRAW_REQUESTED: (N_("The sender wished the letter back."), N_("That it was given back.")),
    EventKind.ALERTED: (
        N_("An alert without any content left the recipient's institution."),
        N_("That somebody received or read the alert."),
    ),
    EventKind.OPENED: (
        N_("Somebody who held the key of that mailbox opened this very text: the opening is signed with that key."),
        N_("Who sat at the keyboard, and that the text was understood."),
    ),
    EventKind.COLLECTED: (
        N_("The letter was handed over to an application, or to somebody logged in without a signing key."),
        N_("That a person read it."),
    ),
    EventKind.UNREADABLE: (
        N_("What arrived did not pass the checks of a letter, and was never shown."),
        N_("Whether sender or recipient is at fault."),
    ),
    EventKind.ERASURE_DUE: (
        N_("The sender was told the day from which the letter may be erased unread."),
        N_("That the letter was erased."),
    ),
    EventKind.ERASED_UNREAD: (
        N_("The recipient's institution no longer has the letter, and no opening of it is on its record."),
        N_("That nobody read it: an institution can keep an opening to itself."),
    ),
    EventKind.DOWNLOADED: (
        N_("Attachments of the letter were handed out to whoever acted for this mailbox."),
        N_("That anybody read them."),
    ),
    EventKind.DELETED: (
        N_("Whoever acted for this mailbox put the letter into the trash."),
        N_("That it was erased."),
    ),
    EventKind.UNDELETED: (
        N_("Whoever acted for this mailbox took the letter back out of the trash."),
        N_("That anybody read it."),
    ),
    EventKind.REMINDED: (
        N_("Nobody had opened the letter by then, and its recipient was alerted once more."),
        N_("That somebody received or read the alert."),
    ),
    EventKind.ESCALATED: (
        N_("Nobody had opened the letter by then, and deputies or the mailbox on call were alerted."),
        N_("That somebody received or read the alert."),
    ),
    EventKind.SENDER_TOLD: (
        N_("Nobody had opened the letter by then, and the sender's institution was told so."),
        N_("That nobody read it later."),
    ),
    EventKind.PICKUP_OFFERED: (
        N_("The letter lay ready for whoever had both the link, sent by e-mail, and the code, told by another way."),
        N_("That the e-mail or the code arrived, or with whom."),
    ),
    EventKind.PICKUP_REVOKED: (
        N_("From then on link and code opened nothing: taken back by the sender, out of time, or after wrong codes."),
        N_("That nobody read the letter before."),
    ),
    EventKind.PICKED_UP: (
        N_("The letter was opened by somebody who had both link and code: this very text."),
        N_("Who that was: nobody outside signs. Whoever was given the link and the code can tell."),
    ),
    EventKind.PICKUP_FAILED: (
        N_("Somebody had the link and a wrong code; nothing was shown."),
        N_("Whether it was a slip or an attempt to break in."),
    ),
}
"""Of each kind: what it proves, what it does not."""

DOUBTS: Final[dict[Doubt | ContentDoubt, str]] = {
    Doubt.NODE_UNCONFIRMED: N_(
        "Nobody has confirmed yet that these signatures are those of the institutions named. Ask each institution, by "
        "telephone or in writing, for the 30 digits of its fingerprint, and compare them with those shown here."
    ),
    Doubt.LOST_KEY: N_(
        "A signature was made with a key that the institution has declared lost since. A thief of that key could have "
        "made it too; evidence under a newer key, or a timestamp from before the loss, would settle it."
    ),
    Doubt.OPENER_UNKNOWN: N_(
        "The file does not hold the directory entry of the mailbox that opened the letter: its signature was not "
        "checked."
    ),
    Doubt.DOMAIN_UNCONFIRMED: N_(
        "The file does not show that the institution claims the domain of the recipient's address."
    ),
    Doubt.TIMESTAMP_UNCONFIRMED: N_(
        "A timestamp was read but not verified: the certificate of the timestamping authority is needed for it."
    ),
    Doubt.CLOCK_AHEAD: N_(
        "The institution's clock was ahead: an event bears a later time than the authority's timestamp over it."
    ),
    ContentDoubt.SENDER_UNCONFIRMED: N_(
        "The letter's signature holds, but no directory entry enclosed says that the key was the sender's."
    ),
    ContentDoubt.DOMAIN_UNCONFIRMED: N_(
        "No directory entry enclosed shows that the sender's institution claims the domain of the sender's address."
    ),
    ContentDoubt.NOT_OPENED: N_("No opening in the evidence names this text: nobody is shown to have read it."),
}

REASONS: Final = {
    Reason.BAD_COMMITMENT: N_("The event was altered: it is not the one that the institution put on record."),
    Reason.BAD_PROOF: N_("It is not shown to stand in the institution's log."),
    Reason.BAD_SIGNATURE: N_("A signature is false."),
    Reason.UNKNOWN_KEY: N_("It is signed with a key that no institution in this file has stated."),
    Reason.MISMATCH: N_("It belongs to something else than this letter, or than what it was enclosed with."),
    Reason.FORK: N_("The institution's log shows two histories that cannot both be true."),
    Reason.MALFORMED: N_("It is damaged, or not written as it must be."),
    Reason.UNKNOWN_VERSION: N_("It was written by a later version of the program, which may be able to read it."),
}
