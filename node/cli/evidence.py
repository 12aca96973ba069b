"""`outbox` and `evidence`: what waits, and what is proved."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from node.cli.alarms import fork_words, shown_fork
from node.cli.common import JsonOption, emit, fail, moment, opened_node, run_command, say, short_id, table
from node.errors import ConfigError

__all__ = ["add_to"]

outbox_app = typer.Typer(help="Letters that wait to be forwarded.", invoke_without_command=True, rich_markup_mode=None)
evidence_app = typer.Typer(
    help="Signed evidence of what happened to a letter.", no_args_is_help=True, rich_markup_mode=None
)
_MAX_FILE_BYTES: Final = 16 * 1024 * 1024


@outbox_app.callback()
def outbox(context: typer.Context, as_json: JsonOption = False) -> None:
    """List what waits, why, and until when."""
    if context.invoked_subcommand is not None:
        return

    async def body() -> None:
        from node.post.waiting import list_waiting

        async with opened_node(context) as node:
            found = await list_waiting(node.database, node.outbox, node.peers, node.node_id)
        if as_json:
            emit(
                [
                    {
                        "id": item.row.hex(),
                        "institution": item.institution,
                        "state": item.state,
                        "class": item.letter_class,
                        "recipients": item.recipients,
                        "since_ms": item.sent_at_ms,
                        "expires_at_ms": item.expires_at_ms,
                        "reason": item.reason,
                        "next_attempt_at_ms": item.next_attempt_at_ms,
                    }
                    for item in found
                ]
            )
            return
        rows = [
            (
                short_id(item.row),
                item.institution,
                item.letter_class,
                item.state,
                item.reason,
                moment(item.sent_at_ms),
                moment(item.expires_at_ms),
            )
            for item in found
        ]
        columns = ("id", "institution", "class", "state", "why", "since", "until")
        table(columns, rows, empty="nothing waits")

    run_command(body, as_json=as_json)


@outbox_app.command("retry")
def retry(
    context: typer.Context,
    row: Annotated[str | None, typer.Argument(metavar="ID", help="One row; without it, all.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Try again now: forget the waiting times of institutions, and take up what was set aside."""

    async def body() -> None:
        from node.post.waiting import retry_now

        async with opened_node(context) as node:
            count = await retry_now(node.database, node.outbox, node.peers, row)
        if as_json:
            emit({"retried": count})
        else:
            say(f"{count} letters will be tried again now")

    run_command(body, as_json=as_json)


@evidence_app.command("export")
def export(
    context: typer.Context,
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="A letter's id, as lists show it.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.")],
    as_json: JsonOption = False,
) -> None:
    """Write all evidence of a letter to one file, which anyone can verify offline, for ever."""

    async def body() -> None:
        from node.vault.evidence_export import export_evidence
        from protocol.evidence_file import write_evidence_file

        async with opened_node(context) as node:
            made = await export_evidence(node.database, node.keys, node.directory, node.outbox, letter_id)
        data = write_evidence_file(made)
        try:
            file.write_bytes(data)
        except OSError as error:
            raise ConfigError(f"{file} cannot be written: {error.strerror}") from error
        if as_json:
            emit({"id": made.letter.text, "file": str(file), "items": len(made.events), "bytes": len(data)})
        else:
            say(f"{len(made.events)} pieces of evidence written to {file}")
            say(f"check it anywhere with: coffre evidence verify {file}")

    run_command(body, as_json=as_json)


@evidence_app.command("verify")
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An evidence file.")],
    node: Annotated[
        list[str] | None,
        typer.Option("--node", metavar="ID|DIGITS", help="A node that must be the signer; may be given again."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Verify an evidence file, or the proof of an alarm, with nothing but the file. Status 1 if it does not hold."""
    from protocol.errors import RemoteProtocolError
    from protocol.evidence_file import parse_evidence_file
    from protocol.evidence_report import verify_evidence_file
    from protocol.fork_file import is_fork_file

    try:
        with file.open("rb") as stream:
            data = stream.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        fail(ConfigError(f"{file} cannot be read: {error.strerror}"), as_json=as_json)
    if is_fork_file(data):
        _verify_fork(file, data, node, as_json=as_json)
        return
    try:
        parsed = parse_evidence_file(data)
    except RemoteProtocolError as error:
        message = f"{file} is not a valid evidence file: {error.detail or error.reason.value}"
        fail(ConfigError(message, hint="it was altered or cut"), as_json=as_json)
    expected = None if node is None else _expected(node, [item.node for item in parsed.nodes], as_json=as_json)
    report = verify_evidence_file(parsed, expected_nodes=expected)
    shown = _shown(report)
    if as_json:
        emit(shown)
    else:
        _print(shown)
    if not report.ok:
        raise typer.Exit(1)


def _verify_fork(file: Path, data: bytes, nodes: list[str] | None, *, as_json: bool) -> None:
    from protocol.errors import RemoteProtocolError
    from protocol.ids import NodeId

    try:
        shown = shown_fork(data)
    except RemoteProtocolError as error:
        message = f"{file} proves nothing: {error.detail or error.reason.value}"
        fail(ConfigError(message, hint="it was altered, cut, or never was a proof"), as_json=as_json)
    if nodes is not None:
        signer = NodeId.from_text(shown["node"])
        if signer not in _expected(nodes, [signer], as_json=as_json):
            fail(ConfigError(f"{file} is about another node: {shown['fingerprint']}"), as_json=as_json)
        shown["doubts"].remove("node_unconfirmed")
    if as_json:
        emit(shown)
        return
    say(fork_words(shown))
    say(f"signed by     {shown['node']}")
    say(f"fingerprint   {shown['fingerprint']}")
    if shown["doubts"]:
        say(f"open          {_words(shown['doubts'])}")


def _expected(texts: list[str], present: list[Any], *, as_json: bool) -> list[Any]:
    from protocol.ids import NodeId
    from protocol.statement import node_digits, parse_digits

    found = []
    for text in texts:
        try:
            digits = parse_digits(text)
        except ValueError:
            try:
                found.append(NodeId.from_text(text.strip().lower()))
            except ValueError:
                fail(ConfigError(f"--node {text!r} is neither 30 digits nor a node's id"), as_json=as_json)
            continue
        matching = [item for item in present if node_digits(item) == digits]
        if not matching:
            fail(ConfigError(f"no node in this file has the fingerprint {digits}"), as_json=as_json)
        found += matching
    return found


def _problem(finding: Any) -> dict[str, Any]:
    defect = finding.defect
    return {
        "ok": defect is None,
        "problem": "" if defect is None else f"{defect.reason.value}: {defect.detail}",
        "doubts": [doubt.value for doubt in finding.doubts],
    }


def _shown(report: Any) -> dict[str, Any]:
    from protocol.entry import InstitutionEntry, MailboxEntry
    from protocol.statement import node_digits

    places, institutions = {}, {}
    for finding in report.entries:
        if finding.verified is None:
            continue
        entry = finding.verified.entry
        if isinstance(entry, MailboxEntry):
            places[finding.verified.node, entry.mailbox] = f"{entry.name} <{entry.address}>"
        elif isinstance(entry, InstitutionEntry):
            institutions[finding.verified.node] = entry.names[0]
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
    return {"id": report.letter.text, "ok": report.ok, "nodes": nodes, "events": events, "entries": entries}


def _words(doubts: list[str]) -> str:
    return ", ".join(doubt.replace("_", " ") for doubt in doubts)


def _how(item: dict[str, Any]) -> str:
    role, actor = item.get("role"), item.get("actor")
    if actor:
        return f" ({role}: {actor})"
    said = role or item.get("code")
    return f" ({said})" if said else ""


def _print(shown: dict[str, Any]) -> None:
    say(f"letter {shown['id']}")
    rows = [
        (
            item["institution"] or item["id"][:16],
            item["fingerprint"],
            item["problem"] or _words(item["doubts"]) or "ok",
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
            item["node"],
            item["recipient"] + _how(item),
            str(len(item["witnesses"])) if item["witnesses"] else "unwitnessed",
            item["problem"] or _words(item["doubts"]),
        )
        for item in shown["events"]
    ]
    table(("", "time", "event", "in the log of", "recipient", "cosigned by", "note"), events, empty="no events")
    say("")
    say("everything in this file verifies" if shown["ok"] else "SOMETHING IN THIS FILE DOES NOT VERIFY")
    if any("node_unconfirmed" in item["doubts"] for item in shown["nodes"]):
        say("Compare each fingerprint with what that institution itself says (or give them with --node).")


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.add_typer(outbox_app, name="outbox")
    app.add_typer(evidence_app, name="evidence")
