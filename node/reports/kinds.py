"""Kinds of events as people call them, for reports. A kind without words here is shown by its own name."""

from __future__ import annotations

from typing import Final

from node.reports.rendering import N_, Language
from protocol.logleaf import EventKind

__all__ = ["kind_words"]

_WORDS: Final = {
    EventKind.SUBMITTED: N_("submitted"),
    EventKind.RELAYED: N_("kept by a relay"),
    EventKind.DELAYED: N_("delayed"),
    EventKind.DEPOSITED: N_("deposited"),
    EventKind.REFUSED: N_("refused"),
    EventKind.EXPIRED: N_("expired"),
    EventKind.WITHDRAWN: N_("withdrawn"),
    EventKind.WITHDRAW_TOO_LATE: N_("withdrawn too late"),
    EventKind.WITHDRAW_REQUESTED: N_("withdrawal asked for"),
    EventKind.ALERTED: N_("alert sent"),
    EventKind.OPENED: N_("opened"),
    EventKind.COLLECTED: N_("collected"),
    EventKind.UNREADABLE: N_("unreadable"),
    EventKind.PICKUP_OFFERED: N_("offered to outside"),
    EventKind.PICKUP_REVOKED: N_("link and code ended"),
    EventKind.PICKED_UP: N_("opened with link and code"),
    EventKind.PICKUP_FAILED: N_("wrong code"),
    EventKind.MAILBOX_CREATED: N_("mailbox created"),
    EventKind.MAILBOX_CLOSED: N_("mailbox closed"),
    EventKind.LOGIN_FAILED: N_("log-in failed"),
    EventKind.MAILBOX_LOCKED: N_("mailbox locked"),
    EventKind.PASSWORD_CHANGED: N_("password changed"),
    EventKind.MAILBOX_RECOVERED: N_("mailbox recovered"),
    EventKind.KEYS_RENEWED: N_("keys renewed"),
    EventKind.MEMBER_ADDED: N_("member added"),
    EventKind.MEMBER_REMOVED: N_("member removed"),
    EventKind.DELEGATION_ADDED: N_("delegation given"),
    EventKind.DELEGATION_ENDED: N_("delegation ended"),
    EventKind.DELEGATION_REVOKED: N_("delegation revoked"),
    EventKind.CHARTER_ACCEPTED: N_("charter of use accepted"),
    EventKind.SECOND_FACTOR_ADDED: N_("second factor added"),
    EventKind.SECOND_FACTOR_REMOVED: N_("second factor removed"),
    EventKind.RECOVERY_CODE_USED: N_("recovery code used"),
    EventKind.PEER_ACCEPTED: N_("institution accepted"),
    EventKind.PEER_REMOVED: N_("institution removed"),
    EventKind.FORK_SEEN: N_("fork seen"),
    EventKind.FORK_CLEARED: N_("alarm ended"),
    EventKind.PEER_VOUCHED: N_("institution vouched for"),
    EventKind.PEER_LAPSED: N_("endorsement lapsed"),
    EventKind.PEER_STOPPED: N_("institution stopped"),
    EventKind.AUDITOR_ADMITTED: N_("auditor admitted"),
    EventKind.AUDITOR_REMOVED: N_("auditor removed"),
    EventKind.DISCLOSED: N_("events disclosed"),
    EventKind.EVENTS_EXPORTED: N_("events exported"),
    EventKind.DISCLOSURE_ASKED: N_("disclosure asked for"),
    EventKind.DISCLOSURE_GRANTED: N_("disclosure granted"),
    EventKind.DISCLOSURE_DENIED: N_("disclosure refused"),
    EventKind.EPOCH_OPENED: N_("epoch opened"),
    EventKind.STARTED: N_("started"),
    EventKind.STOPPED: N_("stopped"),
    EventKind.CLOCK_JUMPED: N_("clock jumped"),
    EventKind.STAFF_ADDED: N_("staff account created"),
    EventKind.STAFF_REMOVED: N_("staff account removed"),
    EventKind.STAFF_CHANGED: N_("staff account changed"),
    EventKind.STAFF_LOGGED_IN: N_("staff logged in"),
    EventKind.STAFF_LOGIN_FAILED: N_("staff log-in failed"),
    EventKind.STAFF_LOCKED: N_("staff account locked"),
    EventKind.STAFF_ACTED: N_("staff acted"),
    EventKind.ALERT_TEXT_CHANGED: N_("text of mails changed"),
}


def kind_words(kind: int, language: Language) -> str:
    """What people call this kind of event."""
    try:
        known = EventKind(kind)
    except ValueError:
        return str(kind)
    words = _WORDS.get(known)
    return known.word.replace("_", " ") if words is None else language.text(words)
