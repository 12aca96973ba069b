"""`evidence`: what is proved of a letter; exported, merged, disclosed here, and verified anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from node.cli.alarms import fork_words, shown_fork
from node.cli.common import (
    ActingFor,
    JsonOption,
    LetterArgument,
    MailboxArgument,
    PasswordFile,
    emit,
    fail,
    opened_node,
    run_command,
    say,
)
from node.cli.evidence_reading import (
    DisclosedOption,
    EvidenceArgument,
    NodeOption,
    TsaOption,
    examine,
    expected_nodes,
    parse_file,
    read_bytes,
)
from node.cli.evidence_views import doubt_words, print_checks, report_fields
from node.cli.one_letter import one_letter
from node.errors import CoffreError, ConfigError

__all__ = ["add_to"]

evidence_app = typer.Typer(
    help="Signed evidence of what happened to a letter.", no_args_is_help=True, rich_markup_mode=None
)


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error


@evidence_app.command("export")
def export(
    context: typer.Context,
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="A letter's id, as lists show it.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.")],
    as_json: JsonOption = False,
) -> None:
    """Write all evidence of a letter, sent or received, to one file, which anyone can verify offline, for ever."""

    async def body() -> None:
        from node.vault.evidence_export import export_evidence
        from protocol.evidence_file import write_evidence_file

        async with opened_node(context) as node:
            made = await export_evidence(node.database, node.keys, node.directory, node.outbox, letter_id)
        data = write_evidence_file(made)
        _write(file, data)
        if as_json:
            emit({"id": made.letter.text, "file": str(file), "items": len(made.events), "bytes": len(data)})
        else:
            say(f"{len(made.events)} pieces of evidence written to {file}")
            say(f"check it anywhere with: coffre evidence verify {file}")

    run_command(body, as_json=as_json)


@evidence_app.command("merge")
def merge(
    one: Annotated[Path, typer.Argument(metavar="FILE", help="An evidence file.")],
    other: Annotated[Path, typer.Argument(metavar="OTHER", help="One of the same letter, from the other side.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write.")],
    as_json: JsonOption = False,
) -> None:
    """Make one file of two evidence files of one letter. Status 1 if they contradict each other; OUT has both then."""
    from protocol.errors import LocalProtocolError, RemoteProtocolError
    from protocol.evidence_file import write_evidence_file
    from protocol.evidence_merge import merge_evidence_files

    try:
        merged = merge_evidence_files(*(parse_file(path, read_bytes(path)) for path in (one, other)))
        data = write_evidence_file(merged.file)
        _write(out, data)
    except CoffreError as error:
        fail(error, as_json=as_json)
    except RemoteProtocolError as error:
        fail(ConfigError(f"{one} and {other} cannot be merged: {error.detail}"), as_json=as_json)
    except LocalProtocolError as error:
        fail(ConfigError(f"{one} and {other} together are {error}", hint="keep them as two files"), as_json=as_json)
    if as_json:
        emit(
            {
                "id": merged.file.letter.text,
                "file": str(out),
                "items": len(merged.file.events),
                "bytes": len(data),
                "conflicts": [{"kind": item.kind.value, "where": item.where} for item in merged.conflicts],
            }
        )
    else:
        say(f"{len(merged.file.events)} pieces of evidence written to {out}")
        for item in merged.conflicts:
            say(f"CONFLICT: {_CONFLICTS[item.kind.value]}: {item.where}")
    if merged.conflicts:
        raise typer.Exit(1)


_CONFLICTS = {
    "statements": "the statements of this node make no chain together",
    "place": "two leaves at one place of a log",
    "heads": "two heads of one size that cannot both be true",
    "opening": "one leaf with two contents",
}


@evidence_app.command("disclose")
def disclose(
    context: typer.Context,
    mailbox: MailboxArgument,
    letter_id: LetterArgument,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write: as secret as the letter.")],
    acting_for: ActingFor = "",
    password_file: PasswordFile = None,
    as_json: JsonOption = False,
) -> None:
    """Write what opens a letter, sent or received, to a third party who has its evidence. It is on record."""

    async def body() -> None:
        from node.folder import write_private
        from protocol.content_file import write_content_file

        if out.exists():
            raise ConfigError(f"{out} exists already", hint="name another file")
        found = one_letter(context, mailbox, letter_id, sent=None, password_file=password_file, acting_for=acting_for)
        async with found as (node, opened, stored):
            copy = await node.content_files.disclose(opened, stored)
        data = write_content_file(copy.file)
        try:
            write_private(out, data)
        except OSError as error:
            raise ConfigError(f"{out} cannot be written: {error.strerror}") from error
        letter = copy.opened.letter
        if as_json:
            emit({"id": letter.letter_id.text, "file": str(out), "subject": letter.subject, "bytes": len(data)})
            return
        say(f"{out} opens the letter, and its attachments, to whoever has it; that you wrote it is on record")
        say(f"check it with: coffre evidence verify EVIDENCE --disclosed {out}")

    run_command(body, as_json=as_json)


@evidence_app.command("verify")
def verify(
    file: EvidenceArgument,
    node: NodeOption = None,
    tsa_ca: TsaOption = None,
    disclosed: DisclosedOption = None,
    as_json: JsonOption = False,
) -> None:
    """Verify an evidence file, or the proof of an alarm, with nothing but the file. Status 1 if it does not hold."""
    from protocol.fork_file import is_fork_file

    try:
        data = read_bytes(file)
        if is_fork_file(data):
            _verify_fork(file, data, node, as_json=as_json)
            return
        examined = examine(file, nodes=node, tsa_ca=tsa_ca, disclosed=disclosed, raw=data)
    except CoffreError as error:
        fail(error, as_json=as_json)
    shown = report_fields(examined.report, examined.content)
    if as_json:
        emit(shown)
    else:
        print_checks(shown)
    if not examined.report.ok:
        raise typer.Exit(1)


def _verify_fork(file: Path, data: bytes, nodes: list[str] | None, *, as_json: bool) -> None:
    from protocol.errors import RemoteProtocolError
    from protocol.ids import NodeId

    try:
        shown: dict[str, Any] = shown_fork(data)
    except RemoteProtocolError as error:
        message = f"{file} proves nothing: {error.detail or error.reason.value}"
        raise ConfigError(message, hint="it was altered, cut, or never was a proof") from error
    if nodes is not None:
        signer = NodeId.from_text(shown["node"])
        if signer not in expected_nodes(nodes, [signer]):
            raise ConfigError(f"{file} is about another node: {shown['fingerprint']}")
        shown["doubts"].remove("node_unconfirmed")
    if as_json:
        emit(shown)
        return
    say(fork_words(shown))
    say(f"signed by     {shown['node']}")
    say(f"fingerprint   {shown['fingerprint']}")
    if shown["doubts"]:
        say(f"open          {doubt_words(shown['doubts'])}")


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    from node.cli import evidence_report

    evidence_report.add_to(evidence_app)
    app.add_typer(evidence_app, name="evidence")
