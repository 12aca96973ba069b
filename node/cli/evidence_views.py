"""How evidence looks: as fields for programs, as a table of checks, and as a story for people."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from node.cli.common import moment, say, table

if TYPE_CHECKING:
    from node.reports.evidence_story import Story
    from node.reports.rendering import Language
    from protocol.content_report import DisclosedLetter
    from protocol.evidence_findings import Report

__all__ = ["content_fields", "doubt_words", "print_checks", "print_story", "report_fields", "story_fields"]

_PIPE_WIDTH: Final = 120


def _problem(finding: Any) -> dict[str, Any]:
    defect = finding.defect
    return {
        "ok": defect is None,
        "problem": "" if defect is None else f"{defect.reason.value}: {defect.detail}",
        "doubts": [doubt.value for doubt in finding.doubts],
    }


def report_fields(report: Report, content: DisclosedLetter | None = None) -> dict[str, Any]:
    """What `--json` tells of a verified file, item by item, and of the content if it was disclosed."""
    from protocol.entry import InstitutionEntry, MailboxEntry
    from protocol.statement import node_digits

    places: dict[Any, str] = {}
    institutions: dict[Any, str] = {}
    for found in report.entries:
        if found.verified is None:
            continue
        entry = found.verified.entry
        if isinstance(entry, MailboxEntry):
            places[found.verified.node, entry.mailbox] = f"{entry.name} <{entry.address}>"
        elif isinstance(entry, InstitutionEntry):
            institutions[found.verified.node] = entry.names[0]
    events = []
    for finding in report.events:
        verified = finding.verified
        fields: dict[str, Any] = {"id": "", "kind": "", "etsi": "", "time_ms": 0, "node": "", "recipient": ""}
        if verified is not None:
            details = verified.details
            at_recipient = (details.node, details.mailbox)
            fields = {
                "id": f"{verified.checkpoint.origin}/{verified.index}",
                "kind": verified.kind.word,
                "etsi": verified.kind.etsi_event,
                "time_ms": verified.time_ms,
                "node": institutions.get(details.node, details.node.text),
                "recipient": places.get(at_recipient) or places.get((details.peer, details.mailbox), ""),
                "role": details.role or "",
                "actor": "" if details.actor is None else places.get((details.node, details.actor), details.actor.text),
                "code": details.code or "",
            }
        fields["existed_at_ms"] = finding.existed_at_ms
        fields["witnesses"] = [
            {
                "node": item.node_id.text,
                "institution": institutions.get(item.node_id, ""),
                "cosigned_at_ms": item.time_s * 1000,
            }
            for item in finding.witnesses
        ]
        events.append(fields | _problem(finding))
    nodes = [
        {"id": item.node.text, "fingerprint": node_digits(item.node), "institution": institutions.get(item.node, "")}
        | _problem(item)
        for item in report.nodes
    ]
    entries = [
        {"recipient": "" if item.verified is None else str(getattr(item.verified.entry, "address", ""))}
        | _problem(item)
        for item in report.entries
    ]
    stamps = [
        {
            "head": "" if item.head is None else f"{item.head.origin}/{item.head.size}",
            "time_ms": 0 if item.stamp is None else item.stamp.time_ms,
            "authority": "" if item.stamp is None else item.stamp.authority,
            "policy": "" if item.stamp is None else item.stamp.policy,
        }
        | _problem(item)
        for item in report.timestamps
    ]
    shown = {"id": report.letter.text, "ok": report.ok, "nodes": nodes, "events": events, "entries": entries}
    return shown | {"timestamps": stamps} | ({} if content is None else {"content": content_fields(content)})


def content_fields(content: DisclosedLetter) -> dict[str, Any]:
    """What `--json` tells of disclosed content."""
    letter = content.signed.letter
    return {
        "from": letter.sender.address,
        "name": content.sender_name,
        "deputy": "" if content.deputy is None else content.deputy.text,
        "to": [item.address for item in letter.to],
        "cc": [item.address for item in letter.cc],
        "time_ms": letter.time_ms,
        "subject": letter.subject,
        "text": letter.text,
        "text_sha256": content.text_sha256.hex(),
        "attachments": [
            {"name": item.name, "type": item.media_type, "size": item.size, "sha256": item.sha256.hex()}
            for item in letter.attachments
        ],
        "doubts": [doubt.value for doubt in content.doubts],
    }


def story_fields(story: Story) -> dict[str, Any]:
    """What `--json` adds for the story: its sentences, in the language asked for."""
    return {
        "status": story.status,
        "verdict": story.verdict,
        "recipients": [{"recipient": who, "state": state} for who, state in story.recipients],
        "sentences": [{"time_ms": item.time_ms, "sentence": item.sentence} for item in story.events],
        "questions": list(story.doubts),
    }


def doubt_words(doubts: list[str]) -> str:
    """Doubts as words."""
    return ", ".join(doubt.replace("_", " ") for doubt in doubts)


def _how(item: dict[str, Any]) -> str:
    role, actor = item.get("role"), item.get("actor")
    if actor:
        return f" ({role}: {actor})"
    said = role or item.get("code")
    return f" ({said})" if said else ""


def print_checks(shown: dict[str, Any]) -> None:
    """The checks of a file, as `report_fields` gives them."""
    from node.reports.evidence_names import plain

    say(f"letter {shown['id']}")
    rows = [
        (
            plain(item["institution"]) or item["id"][:16],
            item["fingerprint"],
            item["problem"] or doubt_words(item["doubts"]) or "ok",
        )
        for item in shown["nodes"]
    ]
    table(("signed by", "fingerprint", "check"), rows, empty="no nodes")
    say("")
    events = [
        (
            "ok" if item["ok"] else "WRONG",
            moment(item["time_ms"]),
            item["kind"],
            plain(item["node"]),
            plain(item["recipient"] + _how(item)),
            str(len(item["witnesses"])) if item["witnesses"] else "unwitnessed",
            item["problem"] or doubt_words(item["doubts"]),
        )
        for item in shown["events"]
    ]
    table(("", "time", "event", "in the log of", "recipient", "cosigned by", "note"), events, empty="no events")
    say("")
    if shown["timestamps"]:
        stamps = [
            (
                "ok" if item["ok"] else "WRONG",
                moment(item["time_ms"]),
                plain(item["authority"]),
                item["head"],
                item["problem"] or doubt_words(item["doubts"]),
            )
            for item in shown["timestamps"]
        ]
        table(("", "before", "according to", "this head was there", "note"), stamps, empty="")
        say("")
    if "content" in shown:
        _print_content(shown["content"])
    say("everything in this file verifies" if shown["ok"] else "SOMETHING IN THIS FILE DOES NOT VERIFY")
    if any("node_unconfirmed" in item["doubts"] for item in shown["nodes"]):
        say("Compare each fingerprint with what that institution itself says (or give them with --node).")


def _print_content(content: dict[str, Any]) -> None:
    from node.reports.evidence_names import plain

    say("the content disclosed is what these events are about:")
    say(f"  from      {plain(content['name'])} <{content['from']}>")
    say(f"  to        {', '.join([*content['to'], *content['cc']])}")
    say(f"  written   {moment(content['time_ms'])}")
    say(f"  subject   {plain(content['subject'])}")
    say(f"  text      SHA-256 {content['text_sha256']}")
    for item in content["attachments"]:
        say(f"  file      {plain(item['name'])} ({item['type']}, {item['size']} bytes) SHA-256 {item['sha256']}")
    if content["doubts"]:
        say(f"  open      {doubt_words(content['doubts'])}")
    say("")


def print_story(story: Story, language: Language) -> None:
    """The story on a terminal."""
    from rich.console import Console
    from rich.markup import escape
    from rich.panel import Panel

    from node.reports.rendering import N_

    colours = {"ok": "green", "open": "yellow", "bad": "red"}
    marks = {"ok": "✓", "open": "?", "bad": "✗"}
    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False, soft_wrap=False)

    def heading(text: str) -> None:
        console.print(f"\n[bold]{escape(language.text(text))}[/bold]")

    colour = colours[story.status]
    console.print(Panel(f"[bold]{escape(story.verdict)}[/bold]", border_style=colour, expand=False))
    console.print(f"{escape(language.text(N_('Letter')))} {story.letter}")
    for who, state in story.recipients:
        console.print(f"{escape(who)}: {escape(state)}")
    heading(N_("What happened"))
    for event in story.events:
        mark = f"[{colours[event.status]}]{marks[event.status]}[/]"
        when = language.moment(event.time_ms) if event.time_ms else ""
        console.print(f"{mark} [bold]{when}[/bold]  {escape(event.sentence)}")
        if event.problem:
            console.print(f"    [red]{escape(event.problem)}[/red] {escape(event.detail)}")
        else:
            etsi = f", ETSI {event.etsi}" if event.etsi else ""
            said = language.text(N_("on record: {institution}"), institution=event.institution)
            console.print(f"    [dim]{event.kind}{etsi}; {escape(said)} ({event.fingerprint})[/dim]")
        if event.existed_at_ms:
            said = language.text(N_("existed before {time}"), time=language.moment(event.existed_at_ms))
            console.print(f"    {escape(said)}")
    for problem, detail in story.entry_problems:
        console.print(f"[red]✗ {escape(problem)}[/red] {escape(detail)}")
    if story.stamps:
        heading(N_("Timestamps of an independent authority"))
        for stamp in story.stamps:
            console.print(f"[{colours[stamp.status]}]{marks[stamp.status]}[/] {escape(stamp.sentence)}")
            if stamp.problem:
                console.print(f"    [red]{escape(stamp.problem)}[/red] {escape(stamp.detail)}")
    if story.content is not None:
        heading(N_("Content disclosed"))
        console.print(f"{escape(story.content.sender)} → {escape(', '.join(story.content.recipients))}")
        console.print(f"[bold]{escape(story.content.subject)}[/bold]")
        console.print(escape(story.content.text))
        for name, kind, size, digest in story.content.attachments:
            console.print(f"-- {escape(name)} ({escape(kind)}, {size}) SHA-256 {digest}")
    heading(N_("Who signed"))
    for signer in story.signers:
        mark = f"[{colours[signer.status]}]{marks[signer.status]}[/]"
        console.print(f"{mark} {escape(signer.name)}: {signer.fingerprint} [dim]({escape(signer.keys)})[/dim]")
        if signer.problem:
            console.print(f"    [red]{escape(signer.problem)}[/red] {escape(signer.detail)}")
    heading(N_("What it proves, and what it does not"))
    for meaning in story.meanings:
        proves = language.text(N_("proves: {text}"), text=meaning.proves)
        not_proved = language.text(N_("does not prove: {text}"), text=meaning.not_proved)
        console.print(f"{meaning.kind}\n    {escape(proves)}\n    {escape(not_proved)}")
    if story.doubts:
        heading(N_("Open questions"))
        for doubt in story.doubts:
            console.print(f"- {escape(doubt)}")
