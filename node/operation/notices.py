"""Notices to operators, as an e-mail and as a webhook's body: what one look raised, reminded of and cleared.

Spec: spec/operation.md, 4.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import formatdate
from typing import Final

from node.operation.alarm_texts import WHAT_WORDS
from node.vault.alarm_notices import AlarmLine, AlarmNotice
from node.vault.alert import Alert

__all__ = ["compose_notice", "notice_fields"]

# Whoever reads more than these looks at `coffre alarms` anyway.
_SHOWN: Final = 50
_LANGUAGES: Final = ("fr", "en")


def compose_notice(alert: Alert, notice: AlarmNotice, *, sender: str, institution: str, now_ms: int) -> EmailMessage:
    """The e-mail. French first, as in alerts to people."""
    message = EmailMessage()
    message["From"] = sender
    message["To"] = alert.target
    message["Subject"] = f"[Coffre] {institution} : {_subject(notice)}"
    message["Date"] = formatdate(now_ms / 1000)
    message["Message-ID"] = f"<{notice.reference.hex()}@{sender.rpartition('@')[2] or 'coffre.invalid'}>"
    message["Auto-Submitted"] = "auto-generated"
    parts = ["\n".join(_line(line, index) for line in notice.lines[:_SHOWN]) for index in range(len(_LANGUAGES))]
    more = len(notice.lines) - _SHOWN
    if more > 0:
        parts = [f"{parts[0]}\n… et {more} de plus", f"{parts[1]}\n… and {more} more"]
    hint = "coffre alarms"
    message.set_content(f"{institution} (Coffre)\n\n{parts[0]}\n\n{parts[1]}\n\n{hint}\n")
    return message


def _subject(notice: AlarmNotice) -> str:
    if len(notice.lines) == 1:
        (line,) = notice.lines
        return f"{WHAT_WORDS[line.what][0]} / {WHAT_WORDS[line.what][1]}: {line.code}"
    counts = {what: sum(line.what == what for line in notice.lines) for what in WHAT_WORDS}
    return ", ".join(
        f"{WHAT_WORDS[what][0]} / {WHAT_WORDS[what][1]}: {count}" for what, count in counts.items() if count
    )


def _line(line: AlarmLine, index: int) -> str:
    since = datetime.fromtimestamp(line.since_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    word = ("depuis le", "since")[index]
    return f"- {WHAT_WORDS[line.what][index]}: {line.texts[_LANGUAGES[index]]} ({word} {since})"


def notice_fields(notice: AlarmNotice, *, institution: str) -> dict[str, object]:
    """The webhook's body."""
    return {
        "event": "operator_alarms",
        "institution": institution,
        "id": notice.reference.hex(),
        "alarms": [
            {
                "what": line.what,
                "code": line.code,
                "level": line.level,
                "about": line.about,
                "since_ms": line.since_ms,
                "text": line.texts["en"],
            }
            for line in notice.lines
        ],
    }
