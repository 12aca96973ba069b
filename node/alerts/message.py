"""What an alert says: which mailbox, what sort of event, where to log in. Nothing of a letter.

Spec: spec/delivery.md, 10.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import formatdate
from typing import Final

from babel.dates import format_datetime

from node.alerts.wording import DEFAULT_PICKUP, DEFAULT_WORDINGS, MailSort, Wordings, filled
from node.operation.notices import compose_notice, notice_fields
from node.vault.alert import Alert, PickupMail

__all__ = ["WebhookCall", "alert_url", "compose_email", "compose_pickup", "compose_webhook", "sign_webhook"]

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
    "pickup_locked": (
        "Un courrier envoyé à l'extérieur est bloqué après de mauvais codes",
        "A letter you sent to somebody outside is locked after wrong codes",
    ),
    "pickup_expired": (
        "Un courrier envoyé à l'extérieur n'a pas été ouvert à temps",
        "A letter you sent to somebody outside was not opened in time",
    ),
    "pickup_unsent": (
        "Le lien d'un courrier à l'extérieur n'a pas pu être envoyé",
        "The link of a letter to somebody outside could not be sent",
    ),
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
    alert: Alert,
    *,
    sender: str,
    institution: str,
    login_url: str,
    now_ms: int,
    link_base: str = "",
    wordings: Wordings = DEFAULT_WORDINGS,
) -> EmailMessage:
    """The e-mail. Its Message-ID is made of the alert's reference, so a mail system can tell doubles.

    wordings: the institution's own, where it has any.
    """
    if alert.pickup is not None:
        return compose_pickup(
            alert, alert.pickup, sender=sender, institution=institution, now_ms=now_ms, wordings=wordings
        )
    if alert.notice is not None:
        return compose_notice(alert, alert.notice, sender=sender, institution=institution, now_ms=now_ms)
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
    own = wordings.of(MailSort.ALERT)
    if own is not None:
        values = {"institution": institution, "mailbox": alert.mailbox_address, "link": url}
        said = {
            code: filled(wording, {**values, "event": "\n".join(lines)})
            for (code, wording), lines in zip(own.items(), (french, english), strict=True)
        }
        if count == 1:
            del message["Subject"]
            joined = " / ".join(subject for subject, _ in said.values())
            message["Subject"] = f"{'[URGENT] ' if urgent else ''}{joined}"
        message.set_content("\n-- \n\n".join(body for _, body in said.values()))
        return message
    message.set_content(f"{institution} (Coffre)\n\n{text}{where}")
    return message


def compose_pickup(
    alert: Alert,
    mail: PickupMail,
    *,
    sender: str,
    institution: str,
    now_ms: int,
    wordings: Wordings = DEFAULT_WORDINGS,
) -> EmailMessage:
    """The e-mail to somebody outside: link, institution, until when; nothing of the letter or of who wrote it.

    Spec: spec/pickup.md, 5.
    """
    languages = ("en", "fr") if mail.language == "en" else ("fr", "en")
    until = datetime.fromtimestamp(mail.until_ms / 1000, UTC)
    own = wordings.of(MailSort.PICKUP) or DEFAULT_PICKUP
    said = {
        code: filled(
            wording,
            {
                "institution": institution,
                "link": mail.link.reveal().decode(),
                "until": format_datetime(until, "d MMMM y, HH:mm 'UTC'", locale={"fr": "fr_FR", "en": "en_GB"}[code]),
            },
        )
        for code, wording in own.items()
    }
    message = EmailMessage()
    message["From"] = sender
    message["To"] = alert.target
    message["Subject"] = " / ".join(said[code][0] for code in languages)
    message["Date"] = formatdate(now_ms / 1000)
    message["Message-ID"] = f"<{alert.reference.hex()}@{sender.rpartition('@')[2] or 'coffre.invalid'}>"
    message["Auto-Submitted"] = "auto-generated"
    # One transfer encoding that leaves the link in one piece whatever its length.
    message.set_content("\n-- \n\n".join(said[code][1] for code in languages), cte="base64")
    return message


@dataclass(frozen=True, slots=True)
class WebhookCall:
    """A POST: its body and headers."""

    body: bytes
    headers: dict[str, str]


def compose_webhook(
    alert: Alert, *, secret: bytes, now_ms: int, link_base: str = "", institution: str = ""
) -> WebhookCall:
    """The call. X-Coffre-Signature is HMAC-SHA256 over `timestamp.body`; X-Coffre-Alert is the same in every retry."""
    if alert.notice is not None:
        told = notice_fields(alert.notice, institution=institution)
        return sign_webhook(told, reference=alert.reference, secret=secret, now_ms=now_ms)
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
    return sign_webhook(fields, reference=alert.reference, secret=secret, now_ms=now_ms)


def sign_webhook(fields: Mapping[str, object], *, reference: bytes, secret: bytes, now_ms: int) -> WebhookCall:
    """Fields as the body of a signed call. reference: the same in every retry."""
    body = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
    timestamp = str(now_ms // 1000)
    signature = hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": "application/json",
        "X-Coffre-Alert": reference.hex(),
        "X-Coffre-Timestamp": timestamp,
        "X-Coffre-Signature": f"sha256={signature}",
    }
    return WebhookCall(body, headers)
