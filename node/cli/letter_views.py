"""How letters and timelines look: as fields for programs, as lines for people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from node.cli.common import moment, say, table, utc_day

if TYPE_CHECKING:
    from node.vault.reading import LetterSummary, StoredLetter
    from node.vault.timeline import RecipientLine, Timeline, TimelineEvent
    from protocol.letter import Letter

__all__ = ["erasure_note", "letter_fields", "print_letter", "print_timeline", "summary_fields", "timeline_fields"]


def letter_fields(letter: Letter, row: bytes) -> dict[str, Any]:
    """What `--json` tells of a letter that could be read, without its text. row: the id by which it is kept."""
    return {
        "id": row.hex(),
        "letter": letter.letter_id.text,
        "from": letter.sender.address,
        "to": [item.address for item in letter.to],
        "cc": [item.address for item in letter.cc],
        "subject": letter.subject,
        "class": letter.letter_class.value,
        "time_ms": letter.time_ms,
        "thread": letter.thread.text,
        "attachments": [
            {"name": item.name, "type": item.media_type, "size": item.size, "sha256": item.sha256.hex()}
            for item in letter.attachments
        ],
    }


def summary_fields(summary: LetterSummary) -> dict[str, Any]:
    """What `--json` tells of a letter in a list, be it readable or not."""
    stored = summary.stored
    kept = {
        "id": stored.row.hex(),
        "state": stored.state.name.lower(),
        "arrived_at_ms": stored.arrived_at_ms,
        "problem": summary.problem,
        "deputy": summary.deputy,
        "deleted_at_ms": stored.trashed_at_ms,
        "erase_at_ms": stored.erase_at_ms,
    }
    return kept if summary.letter is None else kept | letter_fields(summary.letter, stored.row)


def erasure_note(stored: StoredLetter) -> str:
    """That an unread letter will go for ever, and when."""
    return f" [erased on {utc_day(stored.erase_at_ms)} if unread]" if stored.erase_at_ms else ""


def print_letter(letter: Letter, files: list[Path], *, deputy: str = "") -> None:
    """A letter as people read it. files: where its attachments were saved. deputy: who wrote it for the sender."""
    say(f"From:    {letter.sender.address}")
    if deputy:
        say(f"         written by the deputy of {letter.sender.address}: {deputy}")
    say(f"To:      {', '.join(item.address for item in letter.to)}")
    if letter.cc:
        say(f"Cc:      {', '.join(item.address for item in letter.cc)}")
    say(f"Date:    {moment(letter.time_ms)}")
    say(f"Subject: {letter.subject}")
    say("")
    say("".join(character for character in letter.text if character.isprintable() or character in "\n\t"))
    for path in files:
        say(f"-- {path}")


def timeline_fields(timeline: Timeline) -> dict[str, Any]:
    """What `--json` tells of a sent letter's way."""
    return {
        "recipients": [
            {
                "address": line.address,
                "institution": line.institution,
                "state": line.state.word,
                "changed_at_ms": line.changed_at_ms,
                "code": line.code,
                "role": line.role,
                "actor": line.actor,
                "moved_to": line.moved_to,
                "absent_until_ms": None if line.absence is None else line.absence.until_ms,
            }
            for line in timeline.recipients
        ],
        "events": [
            {
                "kind": event.kind.word,
                "time_ms": event.time_ms,
                "node": event.node.text,
                "own": event.own,
                "address": event.address,
                "code": event.code,
                "role": event.role,
                "actor": event.actor,
                "witnesses": event.witnesses,
            }
            for event in timeline.events
        ],
    }


def _who(role: str, actor: str, address: str) -> str:
    """Who acted, in words."""
    if not actor:
        return role
    return f"by the deputy of {address}: {actor}" if role == "deputy" else f"by a {role}: {actor}"


def _what(event: TimelineEvent) -> str:
    """Why, who, or whom it concerns, in words."""
    if event.kind.word == "escalated" and event.actor:
        return f"{event.code}: {event.actor} alerted"
    return event.code or _who(event.role, event.actor, event.address)


def _state(line: RecipientLine) -> str:
    """Where a recipient stands, in words."""
    if line.moved_to:
        return f"{line.state.word} (moved to {line.moved_to})"
    if line.absence is not None:
        instead = f", instead: {line.absence.instead}" if line.absence.instead else ""
        return f"{line.state.word} (absent until {moment(line.absence.until_ms)}{instead})"
    if line.actor:
        return f"{line.state.word} ({_who(line.role, line.actor, line.address)})"
    return line.state.word + (f" ({line.code})" if line.code else "")


def print_timeline(subject: str, timeline: Timeline) -> None:
    """A sent letter's way as people read it: where each recipient stands, then what happened."""
    say(subject)
    say("")
    rows = [
        (
            line.address,
            line.institution,
            _state(line),
            moment(line.changed_at_ms),
        )
        for line in timeline.recipients
    ]
    table(("recipient", "institution", "state", "since"), rows, empty="no recipients")
    if any(line.moved_to for line in timeline.recipients):
        say("Somebody moved: coffre resend MAILBOX ID writes to the new address.")
    say("")
    history = [
        (
            moment(event.time_ms),
            event.kind.word,
            event.address,
            _what(event),
            "here" if event.own else "there",
            str(event.witnesses) if event.witnesses else "no one yet",
        )
        for event in timeline.events
    ]
    table(("time", "event", "recipient", "", "signed", "cosigned by"), history, empty="nothing yet")
