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

__all__ = ["WebhookCall", "alert_url", "compose_email", "compose_webhook"]

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
    "unread_reminder": ("Un courrier vous attend toujours, non lu", "A letter is still waiting for you, unread"),
    "unread_of_other": (
        "Un courrier non lu attend dans la boîte d'une personne que vous suppléez ou dont vous avez la garde",
        "An unread letter waits in the mailbox of somebody you stand in for",
    ),
    "not_opened": ("Un courrier envoyé n'a pas encore été ouvert", "A letter you sent has not been opened yet"),
    "expired": ("Un courrier envoyé n'a pas pu être remis", "A letter you sent could not be delivered"),
}


def alert_url(alert: Alert, link_base: str) -> str:
    """The page that an alert leads to after the log-in; empty if nobody said where the pages are."""
    return f"{link_base}{alert.path}" if link_base and alert.path else ""


def _lines(alert: Alert) -> tuple[list[str], list[str]]:
    """What it says, in French and English; of several, how many of each."""
    if not alert.more:
        french, english = _TEXTS[alert.occasion]
        return [french], [english]
    counted = [(*_TEXTS[name], count) for name, count in alert.counts.items()]
    return [f"{text} : {count}" for text, _, count in counted], [f"{text}: {count}" for _, text, count in counted]


def compose_email(
    alert: Alert, *, sender: str, institution: str, login_url: str, now_ms: int, link_base: str = ""
) -> EmailMessage:
    """The e-mail. Its Message-ID is made of the alert's reference, so a mail system can tell doubles."""
    french, english = _lines(alert)
    count = len(alert.ids)
    urgent = alert.letter_class.value == "urgent"
    message = EmailMessage()
    message["From"] = sender
    message["To"] = alert.target
    subject = f"{french[0]} / {english[0]}" if count == 1 else f"{count} avis / {count} alerts"
    message["Subject"] = f"{'[URGENT] ' if urgent else ''}{subject}"
    message["Date"] = formatdate(now_ms / 1000)
    message["Message-ID"] = f"<{alert.reference.hex()}@{sender.rpartition('@')[2] or 'coffre.invalid'}>"
    message["Auto-Submitted"] = "auto-generated"
    if urgent:
        message["X-Priority"] = "1"
    url = alert_url(alert, link_base) or login_url
    where = f"\n{url}\n" if url else "\n"
    if count == 1:
        text = (
            f"{french[0]} : {alert.mailbox_address}\nConnectez-vous pour le lire.\n\n"
            f"{english[0]}: {alert.mailbox_address}\nLog in to read it.\n"
        )
    else:
        address = alert.mailbox_address
        text = (
            "\n".join((f"Pour {address} :", *(f"- {line}" for line in french), "Connectez-vous pour les lire."))
            + "\n\n"
            + "\n".join((f"For {address}:", *(f"- {line}" for line in english), "Log in to read them.\n"))
        )
    message.set_content(f"{institution} (Coffre)\n\n{text}{where}")
    return message


@dataclass(frozen=True, slots=True)
class WebhookCall:
    """A POST: its body and headers."""

    body: bytes
    headers: dict[str, str]


def compose_webhook(alert: Alert, *, secret: bytes, now_ms: int, link_base: str = "") -> WebhookCall:
    """The call. X-Coffre-Signature is HMAC-SHA256 over `timestamp.body`; X-Coffre-Alert is the same in every retry."""
    fields: dict[str, object] = {
        "event": "digest" if alert.more else alert.occasion,
        "mailbox": alert.mailbox_address,
        "class": alert.letter_class.value,
        "id": alert.reference.hex(),
    }
    if alert.more:
        fields["counts"] = alert.counts
    if url := alert_url(alert, link_base):
        fields["url"] = url
    body = json.dumps(fields, separators=(",", ":")).encode()
    timestamp = str(now_ms // 1000)
    signature = hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": "application/json",
        "X-Coffre-Alert": alert.reference.hex(),
        "X-Coffre-Timestamp": timestamp,
        "X-Coffre-Signature": f"sha256={signature}",
    }
    return WebhookCall(body, headers)
