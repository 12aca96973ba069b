"""`evidence show` and `evidence report`: what a file tells, for people on a terminal and on paper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from node.cli.common import JsonOption, emit, fail, say
from node.cli.evidence_reading import DisclosedOption, EvidenceArgument, NodeOption, TsaOption, examine
from node.cli.evidence_views import print_story, report_fields, story_fields
from node.errors import CoffreError, ConfigError

__all__ = ["add_to"]

_Lang = Annotated[str, typer.Option("--lang", metavar="LANG", help="The language: en or fr.")]


def show(
    file: EvidenceArgument,
    node: NodeOption = None,
    tsa_ca: TsaOption = None,
    disclosed: DisclosedOption = None,
    lang: _Lang = "en",
    as_json: JsonOption = False,
) -> None:
    """Tell in plain words what an evidence file proves and what it does not. Status 1 if something does not hold."""
    from node.reports.evidence_story import tell
    from node.reports.rendering import language_of

    try:
        language = language_of(lang)
        examined = examine(file, nodes=node, tsa_ca=tsa_ca, disclosed=disclosed)
    except CoffreError as error:
        fail(error, as_json=as_json)
    story = tell(examined.file, examined.report, language, content=examined.content)
    if as_json:
        emit(report_fields(examined.report, examined.content) | story_fields(story))
    else:
        print_story(story, language)
    if not examined.report.ok:
        raise typer.Exit(1)


def report(
    file: EvidenceArgument,
    out: Annotated[Path, typer.Option("--out", metavar="HTML", help="The page to write.")],
    node: NodeOption = None,
    tsa_ca: TsaOption = None,
    disclosed: DisclosedOption = None,
    lang: _Lang = "en",
    enclose: Annotated[
        bool, typer.Option("--enclose/--no-enclose", help="Put the evidence file itself into the report, as text.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Write a report for lawyers and judges: one page that prints well. Status 1 if something does not hold."""
    from node.reports.evidence_html import evidence_html
    from node.world import World

    try:
        examined = examine(file, nodes=node, tsa_ca=tsa_ca, disclosed=disclosed)
        page = evidence_html(
            examined.raw,
            examined.file,
            examined.report,
            language=lang,
            made_at_ms=World().now_ms(),
            enclosed=enclose,
            content=examined.content,
            file_name=file.name,
        )
        try:
            out.write_text(page, encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{out} cannot be written: {error.strerror}") from error
    except CoffreError as error:
        fail(error, as_json=as_json)
    if as_json:
        emit({"id": examined.report.letter.text, "ok": examined.report.ok, "file": str(out), "language": lang})
    else:
        say(f"report written to {out}; print it, or save it as PDF, in any browser")
        if not examined.report.ok:
            say("SOMETHING IN THE EVIDENCE DOES NOT VERIFY; the report says what")
    if not examined.report.ok:
        raise typer.Exit(1)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("show")(show)
    app.command("report")(report)
