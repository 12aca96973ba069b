"""What an alert says: which mailbox, what sort of event, where to log in. Nothing of a letter.

Spec: spec/delivery.md, 10.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate
from typing import Final

from node.vault.alert_queue import Alert

__all__ = ["WebhookCall", "compose_email", "compose_webhook"]

# French first: the people who read these are French; English below for everyone else.
_TEXTS: Final = {
    "deposited": ("Un courrier vous attend", "A letter is waiting for you"),
    "erasure_due": ("Un courrier non lu sera bientôt effacé", "An unread letter will be erased soon"),
    "unread_there": (
        "Un courrier envoyé, non lu, sera bientôt effacé chez son destinataire",
        "A letter you sent is unread and will be erased soon at its recipient's",
    ),
    "erased_unread": ("Un courrier envoyé a été effacé sans être lu", "A letter you sent was erased unread"),
    "delayed": ("Un courrier envoyé n'est pas encore remis", "A letter you sent is not delivered yet"),
    "refused": ("Un courrier envoyé a été refusé", "A letter you sent was refused"),
    "expired": ("Un courrier envoyé n'a pas pu être remis", "A letter you sent could not be delivered"),
}


def compose_email(alert: Alert, *, sender: str, institution: str, login_url: str, now_ms: int) -> EmailMessage:
    """The e-mail. Its Message-ID is made of the alert's reference, so a mail system can tell doubles."""
    french, english = _TEXTS[alert.occasion]
    urgent = alert.letter_class.value == "urgent"
    message = EmailMessage()
    message["From"] = sender
    message["To"] = alert.target
    message["Subject"] = f"{'[URGENT] ' if urgent else ''}{french} / {english}"
    message["Date"] = formatdate(now_ms / 1000)
    message["Message-ID"] = f"<{alert.reference.hex()}@{sender.rpartition('@')[2] or 'coffre.invalid'}>"
    message["Auto-Submitted"] = "auto-generated"
    if urgent:
        message["X-Priority"] = "1"
    where = f"\n{login_url}\n" if login_url else "\n"
    message.set_content(
        f"{institution} (Coffre)\n\n{french} : {alert.mailbox_address}\n"
        f"Connectez-vous pour le lire.\n\n{english}: {alert.mailbox_address}\nLog in to read it.\n{where}"
    )
    return message


@dataclass(frozen=True, slots=True)
class WebhookCall:
    """A POST: its body and headers."""

    body: bytes
    headers: dict[str, str]


def compose_webhook(alert: Alert, *, secret: bytes, now_ms: int) -> WebhookCall:
    """The call. X-Coffre-Signature is HMAC-SHA256 over `timestamp.body`; X-Coffre-Alert is the same in every retry."""
    body = json.dumps(
        {
            "event": alert.occasion,
            "mailbox": alert.mailbox_address,
            "class": alert.letter_class.value,
            "id": alert.reference.hex(),
        },
        separators=(",", ":"),
    ).encode()
    timestamp = str(now_ms // 1000)
    signature = hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": "application/json",
        "X-Coffre-Alert": alert.reference.hex(),
        "X-Coffre-Timestamp": timestamp,
        "X-Coffre-Signature": f"sha256={signature}",
    }
    return WebhookCall(body, headers)
