"""Every domain-separation label of the project, in one place. Spec: spec/encoding.md, "Labels".

An edit here changes the meaning of every signature and hash ever made: labels are added, never changed.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["Label"]


class Label(Enum):
    """`coffre/v1/<purpose>\\0`: the prefix of everything hashed, signed, derived or bound as HPKE info."""

    NODE_ID = b"coffre/v1/node-id\0"
    DIGITS = b"coffre/v1/digits\0"
    STATEMENT = b"coffre/v1/statement\0"
    LETTER = b"coffre/v1/letter\0"
    LETTER_DIGEST = b"coffre/v1/letter-digest\0"
    PAYLOAD = b"coffre/v1/payload\0"
    PAYLOAD_ID = b"coffre/v1/payload-id\0"
    WRAP = b"coffre/v1/wrap\0"
    SLIP = b"coffre/v1/slip\0"
    SLIP_ID = b"coffre/v1/slip-id\0"
    SLIP_BOX = b"coffre/v1/slip-box\0"
    ENVELOPE = b"coffre/v1/envelope\0"
    LEAF = b"coffre/v1/leaf\0"
    ENTRY = b"coffre/v1/entry\0"
    EVIDENCE = b"coffre/v1/evidence\0"
    OPENED = b"coffre/v1/opened\0"
    WITHDRAW = b"coffre/v1/withdraw\0"
    SUCCESSION = b"coffre/v1/succession\0"
    DELEGATION = b"coffre/v1/delegation\0"
    INVITE = b"coffre/v1/invite\0"
    KEYRING = b"coffre/v1/keyring\0"
    MAILBOX_WAY = b"coffre/v1/mailbox-way\0"
    RECOVERY_WRAP = b"coffre/v1/recovery-wrap\0"
    HOLDER_WRAP = b"coffre/v1/holder-wrap\0"
    FORMER_KEY = b"coffre/v1/former-key\0"
    ROW = b"coffre/v1/row\0"
    BLIND_INDEX = b"coffre/v1/blind-index\0"
    ALERT_LINK = b"coffre/v1/alert-link\0"
    BACKUP = b"coffre/v1/backup\0"
    ERASURE = b"coffre/v1/erasure\0"
    ERASURE_LIST = b"coffre/v1/erasure-list\0"
    HOLD = b"coffre/v1/hold\0"
    SETTINGS = b"coffre/v1/settings\0"
    STANDING = b"coffre/v1/standing\0"
    MAINTAINER = b"coffre/v1/maintainer\0"
    TOTALS = b"coffre/v1/totals\0"
    DIRECTORY = b"coffre/v1/directory\0"
    WEB_SESSION = b"coffre/v1/web-session\0"
    STAFF_SESSION = b"coffre/v1/staff-session\0"
    FIRST_PASSWORD = b"coffre/v1/first-password\0"
    DRAFT = b"coffre/v1/draft\0"
    MAILBOX_INDEX = b"coffre/v1/mailbox-index\0"
    BUNDLE = b"coffre/v1/bundle\0"
    BUNDLE_KEY = b"coffre/v1/bundle-key\0"
    BUNDLE_PART = b"coffre/v1/bundle-part\0"
    PICKUP = b"coffre/v1/pickup\0"
    PICKUP_SESSION = b"coffre/v1/pickup-session\0"
    RECOVERY_HALF = b"coffre/v1/recovery-half\0"
