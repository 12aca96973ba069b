"""`maintainer import`, `difference`, `match`: a national list of institutions beside those that are vouched for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from node.cli.common import JsonOption, emit, moment, progress_bar, run_command, say
from node.cli.list_options import DelimiterOption, MapOption, delimiter_of, one_of
from node.cli.maintainer import DeskArgument, open_desk, write_file
from node.errors import ConfigError, NotFoundError

if TYPE_CHECKING:
    from directory_sync.lists.institutions import ListedInstitution
    from node.maintainer.desk import Desk
    from node.maintainer.difference import Compared, Difference, Member
    from node.maintainer.list_source import InstitutionFile
    from node.maintainer.list_store import ListStore

__all__ = ["add_to"]

_BAR_FROM_BYTES: Final = 2 * 1024 * 1024
_SHOWN_BAD: Final = 20

RegionOption = Annotated[
    str | None,
    typer.Option("--region", metavar="NAME", help="Whom to invite: of this region (default: the maintainer's)."),
]
EverywhereOption = Annotated[bool, typer.Option("--everywhere", help="Whom to invite: of all regions.")]
InviteOption = Annotated[
    Path | None, typer.Option("--to-invite", metavar="FILE", help="Write all whom to invite to a table (CSV).")
]


def _entry(entry: ListedInstitution) -> dict[str, Any]:
    return {
        "key": entry.key,
        "where": entry.where,
        "names": list(entry.names),
        "kind": entry.kind,
        "region": entry.region,
        "town": entry.town,
        "domain": entry.domain,
        "telephone": entry.telephone,
    }


def _compared(item: Compared) -> dict[str, Any]:
    member, was = item.member, item.was
    return {
        "id": member.node.text,
        "institution": member.name,
        "domain": member.domain,
        "act": "request" if member.act is None else member.act.value,
        "found": item.found.value,
        "chosen": item.is_chosen,
        "entries": [_entry(entry) for entry in item.entries],
        "differs": {change.field: [change.before, change.after] for change in item.differs},
        "near": [_entry(entry) for entry in item.near],
        "was": None if was is None else {"list": was.list, "at_ms": was.at_ms, "name": was.name},
    }


def _words(entry: ListedInstitution) -> str:
    return ", ".join(filter(None, (entry.names[0], entry.kind, entry.town))) + f" [{entry.key}]"


def _lines(item: Compared) -> list[str]:
    """What is told of one institution: a line, and what may help under it."""
    from node.maintainer.difference import Found

    member, (first, *more) = item.member, item.entries or (None,)
    name = f"{member.name} ({member.domain})"
    if item.found is Found.LISTED and first is not None:
        sites = f" and {len(more)} more sites of its owner" if more else ""
        told = "; ".join(f"{change.field} {change.before!r}, in the list {change.after!r}" for change in item.differs)
        return [f"{name} is {_words(first)}{sites}{': ' + told if told else ''}"]
    if item.found is Found.UNCLEAR:
        return [f"{name} may be one of", *(f"           {_words(entry)}" for entry in item.entries)]
    was = "" if item.was is None else f"; {item.was.list} of {moment(item.was.at_ms)} had it as {item.was.name}"
    return [f"{name} is not in it{was}", *(f"           near: {_words(entry)}" for entry in item.near)]


def _tell(difference: Difference, to_invite: int, place: str, *, folder: Path) -> None:
    from node.maintainer.difference import Found

    facts = difference.facts
    say(f"{facts.name} of {moment(facts.imported_at_ms)}: {facts.usable} institutions, {facts.bad} rows left out")
    for row in facts.bad_rows[:_SHOWN_BAD]:
        say(f"bad        {row.where}: {row.reason}")
    if facts.bad > _SHOWN_BAD:
        say(f"bad        and {facts.bad - _SHOWN_BAD} more (--json names {len(facts.bad_rows)})")
    missing, unclear = difference.of(Found.MISSING), difference.of(Found.UNCLEAR)
    differing, agreeing = difference.of(Found.LISTED, differing=True), difference.of(Found.LISTED)
    parts = (("request", difference.requests), ("missing", missing), ("unclear", unclear), ("differs", differing))
    for word, items in parts:
        for item in items:
            first, *more = _lines(item)
            say(f"{word:<11}{first}")
            for line in more:
                say(line)
    say(
        f"vouched for: {len(agreeing)} as in the list, {len(differing)} differ, {len(unclear)} unclear, "
        f"{len(missing)} not in it"
    )
    say(f"to invite{f' in {place}' if place else ''}: {to_invite} (--to-invite FILE.csv)")
    if missing or unclear or any(item.found is not Found.LISTED for item in difference.requests):
        say(f"say which one it is: coffre maintainer match {folder} NODE NUMBER")


def _invite_table(path: Path, entries: Sequence[ListedInstitution], revoked: frozenset[str]) -> None:
    from node.maintainer.invitations import invite_table

    write_file(path, invite_table(entries, revoked).encode())


def _answer(
    desk: Desk,
    store: ListStore,
    *,
    region: str | None,
    everywhere: bool,
    out: Path | None,
    as_json: bool,
    dry_run: bool = False,
) -> None:
    from node.maintainer.difference import Found, compare
    from node.maintainer.list_store import InviteFilter

    difference = compare(desk, store)
    place = "" if everywhere else desk.entry.region if region is None else region
    wanted = InviteFilter(region=place)
    if out is not None:
        _invite_table(out, store.without(difference.known, wanted), difference.revoked)
    if not as_json:
        _tell(difference, store.count_without(difference.known, wanted), place, folder=desk.path)
        return
    facts = difference.facts
    emit(
        {
            "list": {
                "name": facts.name,
                "format": facts.format,
                "imported_at_ms": facts.imported_at_ms,
                "sha256": facts.sha256,
                "institutions": facts.usable,
                "bad": facts.bad,
                "bad_rows": [{"where": row.where, "reason": row.reason} for row in facts.bad_rows],
            },
            "dry_run": dry_run,
            "requests": [_compared(item) for item in difference.requests],
            "missing": [_compared(item) for item in difference.of(Found.MISSING)],
            "unclear": [_compared(item) for item in difference.of(Found.UNCLEAR)],
            "differing": [_compared(item) for item in difference.of(Found.LISTED, differing=True)],
            "agreeing": [_compared(item) for item in difference.of(Found.LISTED)],
            "to_invite": [
                _entry(entry) | {"revoked": entry.key in difference.revoked}
                for entry in store.without(difference.known, wanted)
            ],
        }
    )


def _source(file: Path, form: str, maps: Sequence[str], encoding: str, delimiter: str) -> InstitutionFile:
    from directory_sync.lists.institutions import INSTITUTION_FIELDS
    from node.lists.source import ENCODINGS, read_column_map
    from node.maintainer.list_source import INSTITUTION_FORMATS, InstitutionFile

    return InstitutionFile(
        path=file,
        format=form and one_of(form, INSTITUTION_FORMATS, "format"),
        encoding=one_of(encoding.lower(), ENCODINGS, "encoding"),
        delimiter=delimiter_of(delimiter),
        columns=read_column_map(maps, INSTITUTION_FIELDS),
    )


def import_list(
    folder: DeskArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The list.")],
    list_format: Annotated[
        str,
        typer.Option("--format", metavar="FORMAT", help="csv, finess, rass or fhir (default: seen by its beginning)."),
    ] = "",
    maps: MapOption = None,
    encoding: Annotated[str, typer.Option(help="Of lines: utf-8, latin-1 or cp1252.")] = "utf-8",
    delimiter: DelimiterOption = "",
    region: RegionOption = None,
    everywhere: EverywhereOption = False,
    to_invite: InviteOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the difference, and keep the list imported before.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Keep a national list of institutions, and show what differs from those vouched for. Nobody is endorsed or
    revoked by it.
    """

    async def body() -> None:
        from node.maintainer.difference import import_list
        from node.maintainer.list_store import ListStore, list_path
        from node.world import World

        desk = open_desk(folder)
        source = _source(file, list_format, maps or [], encoding, delimiter)
        looked_at = list_path(folder).with_suffix(".look") if dry_run else None
        try:
            with progress_bar(source.size_bytes, "reading", hidden=as_json, least_bytes=_BAR_FROM_BYTES) as come:
                import_list(desk, source, file.name, World(), come, to=looked_at)
            with ListStore.open(looked_at or list_path(folder)) as store:
                _answer(
                    desk,
                    store,
                    region=region,
                    everywhere=everywhere,
                    out=to_invite,
                    as_json=as_json,
                    dry_run=dry_run,
                )
        finally:
            if looked_at is not None:
                looked_at.unlink(missing_ok=True)

    run_command(body, as_json=as_json)


def show_difference(
    folder: DeskArgument,
    region: RegionOption = None,
    everywhere: EverywhereOption = False,
    to_invite: InviteOption = None,
    as_json: JsonOption = False,
) -> None:
    """What differs between the list imported last and those vouched for, as both are now."""

    async def body() -> None:
        from node.maintainer.list_store import ListStore, list_path

        desk = open_desk(folder)
        with ListStore.open(list_path(folder)) as store:
            _answer(desk, store, region=region, everywhere=everywhere, out=to_invite, as_json=as_json)

    run_command(body, as_json=as_json)


def match(
    folder: DeskArgument,
    node: Annotated[str, typer.Argument(metavar="NODE", help="Domain, institution or the beginning of the id.")],
    number: Annotated[
        str | None, typer.Argument(metavar="[NUMBER]", help="Its number in the list, or the whole key in [brackets].")
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Let domain and name say again.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say which institution of the list one is. It is remembered, also for the lists after this one."""

    async def body() -> None:
        from node.maintainer.difference import choose
        from node.maintainer.list_store import ListStore, list_path

        if (number is None) is not undo:
            raise ConfigError("give the number in the list, or --undo")
        desk = open_desk(folder)
        member = _member(desk, node)
        key = None
        if number is not None:
            with ListStore.open(list_path(folder)) as store:
                key = _key(store, number)
        choose(desk, member, key)
        if as_json:
            emit({"id": member.node.text, "key": key})
        else:
            say(f"{member.name}: {'as domain and name say' if key is None else key}")

    run_command(body, as_json=as_json)


def _member(desk: Desk, text: str) -> Member:
    from node.maintainer.difference import members

    try:
        node = desk.requests.find(text).chain.node_id
    except NotFoundError:
        node = desk.find(text).node
    found = next((member for member in members(desk) if member.node == node), None)
    if found is None:
        raise NotFoundError(f"{text!r} was never endorsed, and does not ask")
    return found


def _key(store: ListStore, text: str) -> str:
    if store.by_key(text) is not None:
        return text
    found = store.by_number(text)
    if len(found) != 1:
        word = "no institution of the list has" if not found else "several institutions of the list have"
        raise NotFoundError(f"{word} the number {text!r}", hint="give the whole key, as the difference shows it")
    return found[0].key


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("import")(import_list)
    app.command("difference")(show_difference)
    app.command("match")(match)
