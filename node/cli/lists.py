"""`mailbox import`, `directory export`: lists of mailboxes in the formats of others."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from node.cli.common import JsonOption, confirm, emit, opened_node, progress_bar, run_command, say
from node.cli.list_options import DelimiterOption, MapOption, delimiter_of, one_of
from node.errors import ConfigError, StateError

if TYPE_CHECKING:
    from directory_sync.lists.addresses import AddressForm
    from node.app import Node
    from node.lists.files import ListFile
    from node.lists.importing import Outcome, Plan, Step

__all__ = ["add_to"]

# Each new mailbox takes some milliseconds: a bar is wanted from some hundred rows on.
_BAR_FROM_BYTES: Final = 64 * 1024


class _Shown:
    """The steps of a plan as they are told: lines for people, lists for programs."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.steps: dict[str, list[dict[str, Any]]] = {"new": [], "changed": [], "bad": []}

    def add(self, step: Step) -> None:
        from directory_sync.lists.listed import SHOWN_FIELDS, BadRow
        from node.lists.importing import Change, New

        if isinstance(step, BadRow):
            self.lines.append(f"bad      {step.where}: {step.reason}")
            self.steps["bad"].append({"where": step.where, "reason": step.reason})
        elif isinstance(step, New):
            entry = step.entry
            what = (entry.profession, entry.specialty, entry.unit, entry.town)
            self.lines.append(f"new      {entry.address}: {', '.join(filter(None, (entry.name, *what)))}")
            fields = {name: show(entry) for name, show in SHOWN_FIELDS.items()}
            self.steps["new"].append({"id": entry.address, "where": step.where, "fields": fields})
        elif isinstance(step, Change):
            told = "; ".join(f"{item.field} {item.before!r} → {item.after!r}" for item in step.fields)
            self.lines.append(f"changed  {step.address}: {told}")
            changes = {item.field: [item.before, item.after] for item in step.fields}
            self.steps["changed"].append({"id": step.address, "where": step.row.where, "fields": changes})


def _list_file(
    node: Node, file: Path, form: str, maps: list[str], encoding: str, delimiter: str, structures: list[str]
) -> ListFile:
    from node.lists.files import FORMATS, ListFile
    from node.lists.source import ENCODINGS, read_column_map

    return ListFile(
        path=file,
        domain=node.settings.domain,
        format=form and one_of(form, FORMATS, "format"),
        encoding=one_of(encoding.lower(), ENCODINGS, "encoding"),
        delimiter=delimiter_of(delimiter),
        columns=read_column_map(maps),
        structures=frozenset(structures),
    )


def _address_form(form: str) -> AddressForm:
    from directory_sync.lists.addresses import AddressForm
    from directory_sync.lists.listed import ListError

    try:
        return AddressForm(form)
    except ListError as error:
        raise ConfigError(error.message, hint=error.hint) from None


def import_list(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The list.")],
    list_format: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="csv, rass or fhir (default: seen by its beginning).")
    ] = "",
    maps: MapOption = None,
    encoding: Annotated[str, typer.Option(help="Of a table: utf-8, latin-1 or cp1252.")] = "utf-8",
    delimiter: DelimiterOption = "",
    structures: Annotated[
        list[str] | None,
        typer.Option(
            "--structure", metavar="NUMBER", help="Of rass: this institution's FINESS or SIRET; again for more."
        ),
    ] = None,
    address_form: Annotated[
        str,
        typer.Option(
            metavar="FORM", help="How addresses are made where the list has none: {given} {family} {initial}."
        ),
    ] = "{given}.{family}",
    passwords: Annotated[
        Path | None, typer.Option(metavar="FILE", help="New file for the first passwords of new mailboxes.")
    ] = None,
    before: Annotated[
        Path | None, typer.Option(metavar="FILE", help="First write the own mailboxes as they are to a new file.")
    ] = None,
    close_missing: Annotated[
        bool, typer.Option("--close-missing", help="Close mailboxes that are not in the list.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Close without asking.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring the node's mailboxes in line with a list: CSV, the French national extract, or a FHIR Bundle."""

    async def body() -> None:
        from node.lists.importing import Importer
        from node.lists.passwords import PasswordsFile

        async with opened_node(context) as node:
            source = _list_file(node, file, list_format, maps or [], encoding, delimiter, structures or [])
            importer = Importer(
                source,
                mailboxes=node.mailboxes,
                directory=node.directory,
                database=node.database,
                form=_address_form(address_form),
                quota_bytes=node.settings.limits.mailbox_quota_bytes,
            )
            shown = _Shown()
            with progress_bar(source.size_bytes, "reading", hidden=as_json, least_bytes=_BAR_FROM_BYTES) as come:
                plan = await importer.plan(shown.add, come)
            closing = plan.missing if close_missing and not plan.bad else ()
            shown.lines += [f"closed   {item.address}" for item in closing]
            if not as_json:
                for line in shown.lines:
                    say(line)
            outcome = None
            if not dry_run and (plan.new or plan.changed or closing):
                if plan.new and passwords is None:
                    raise ConfigError(
                        f"{plan.new} new mailboxes need first passwords", hint="give --passwords FILE, a new file"
                    )
                question = f"Close {len(closing)} mailboxes? Letters to them will be refused, and they stay closed."
                if closing and not confirm(question, assume=yes, option="--yes"):
                    raise StateError("nothing was changed")
                if before is not None:
                    await _write_before(node, before)
                with ExitStack() as stack:
                    words = stack.enter_context(PasswordsFile.made(passwords)) if plan.new and passwords else None
                    bar = progress_bar(source.size_bytes, "importing", hidden=as_json, least_bytes=_BAR_FROM_BYTES)
                    outcome = await importer.apply(stack.enter_context(bar), words, closing)
        _tell(shown, plan, outcome, [item.address for item in closing], dry_run=dry_run, as_json=as_json)
        _refuse(plan, outcome, close_missing=close_missing)

    run_command(body, as_json=as_json)


async def _write_before(node: Node, path: Path) -> None:
    from node.lists.exporting import Exporter, new_file
    from node.vault.search.directory_search import SearchQuery

    with new_file(path) as stream:
        await Exporter(node.database, node.directory).write(stream, "csv", SearchQuery(), own=True)


def _tell(
    shown: _Shown, plan: Plan, outcome: Outcome | None, closing: list[str], *, dry_run: bool, as_json: bool
) -> None:
    if as_json:
        counts = {"new": plan.new, "changed": plan.changed, "unchanged": plan.unchanged, "bad": plan.bad}
        done = None
        if outcome is not None:
            done = {"new": outcome.new, "changed": outcome.changed, "closed": outcome.closed}
        failed = [] if outcome is None else list(outcome.failed)
        emit(
            {
                "dry_run": dry_run,
                "planned": {**counts, "closed": len(closing), "missing": len(plan.missing)},
                "done": done,
                **shown.steps,
                "closed": closing,
                "failed": failed,
            }
        )
        return
    counted = f"{plan.new} new, {plan.changed} changed, {plan.unchanged} unchanged, {len(closing)} to close"
    left = f", {plan.bad} bad" if plan.bad else ""
    kept = f", {len(plan.missing)} not in the list" if len(plan.missing) > len(closing) else ""
    say(f"{'would be: ' if dry_run else 'list: '}{counted}{left}{kept}")
    if outcome is not None:
        for line in outcome.failed:
            say(f"not done {line}")
        say(f"done: {outcome.new} made, {outcome.changed} changed, {outcome.closed} closed")


def _refuse(plan: Plan, outcome: Outcome | None, *, close_missing: bool) -> None:
    """End with an error if something was left out, so that a script notices."""
    failed = 0 if outcome is None else len(outcome.failed)
    if not plan.bad and not failed:
        return
    rows = f"{plan.bad + failed} rows were left out"
    kept = "; with bad rows nothing is closed: one of them may be a missing one" if close_missing and plan.bad else ""
    raise StateError(f"{rows}, the others count{kept}", hint="correct the lines told and import again")


def export_list(
    context: typer.Context,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="The new file.")],
    words: Annotated[list[str] | None, typer.Argument(help="Words as in a search (default: everything).")] = None,
    list_format: Annotated[str, typer.Option("--format", metavar="FORMAT", help="csv, fhir, vcard or ldif.")] = "csv",
    kind: Annotated[str, typer.Option(help="person, service, application or practice.")] = "",
    region: Annotated[str, typer.Option(help="The institution's region.")] = "",
    town: Annotated[str, typer.Option(help="The mailbox's town, or its institution's.")] = "",
    institution: Annotated[str, typer.Option(help="Words of the institution's name.")] = "",
    own: Annotated[
        bool, typer.Option("--own", help="All open mailboxes of this institution, also those that no search finds.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write what this node knows of mailboxes to a file: a table, a FHIR Bundle, or for an address book."""

    async def body() -> None:
        from node.lists.exporting import EXPORT_FORMATS, Exporter, new_file
        from node.vault.search.directory_search import SearchQuery

        one_of(list_format, EXPORT_FORMATS, "format")
        if own and (words or region or town or institution):
            raise ConfigError("--own goes with --kind alone", hint="or search with --institution")
        query = SearchQuery(text=" ".join(words or ()), kind=kind, region=region, town=town, institution=institution)
        async with opened_node(context) as node:
            with new_file(out) as stream:
                count = await Exporter(node.database, node.directory).write(stream, list_format, query, own=own)
        if as_json:
            emit({"mailboxes": count, "file": str(out), "format": list_format})
        else:
            say(f"{count} mailboxes written to {out}")

    run_command(body, as_json=as_json)


def add_to(mailbox_app: typer.Typer, directory_app: typer.Typer) -> None:
    """Register the commands in the groups where people look for them."""
    mailbox_app.command("import")(import_list)
    directory_app.command("export")(export_list)
