"""`statistics`: what was counted here, what the region's institutions published, files of it. Spec: statistics.md."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from node.cli.common import JsonOption, confirm, emit, moment, opened_node, progress_count, run_command, say, table
from node.errors import ConfigError

if TYPE_CHECKING:
    from node.statistics.region import CountedMonth, RegionReport
    from node.statistics.report import Report, Row

__all__ = ["add_to"]

statistics_app = typer.Typer(
    help="Letters by month, institution, region, kind and specialty; published totals of the region.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
_First = Annotated[str, typer.Option("--from", metavar="YYYY-MM", help="The first month (a year before the last).")]
_Last = Annotated[str, typer.Option("--to", metavar="YYYY-MM", help="The last month (the running one).")]
_Month = Annotated[str, typer.Argument(metavar="YYYY-MM", help="The month.")]
_KINDS: Final = ("csv", "svg", "png")
_ACTIVE: Final = frozenset({"people", "services", "institutions"})


@statistics_app.command("show")
def show(context: typer.Context, first: _First = "", last: _Last = "", as_json: JsonOption = False) -> None:
    """Show what was counted here, month by month; small counts are hidden."""

    async def body() -> Report:
        async with opened_node(context) as node:
            return await node.statistics.local(node.statistics.chosen(first, last))

    report = run_command(body, as_json=as_json)
    if as_json:
        emit(_local_fields(report))
        return
    if report.is_empty:
        say("nothing was counted in these months (letters count within a minute; for others: --from, --to)")
        return
    least = f"(hidden: 1 to {report.threshold - 1})" if report.threshold > 1 else ""
    rows = [*report.totals.values(), report.people, report.services, report.institutions]
    _months("count", report.months, [row for row in rows if row.total or row.is_partial])
    for name, times in report.times.items():
        if times.whole is not None:
            half, most = _seconds(times.whole.median_s), _seconds(times.whole.p90_s)
            say(f"{name}: half within {half}, nine in ten within {most}")
    for (measure, dimension), found in report.breakdowns.items():
        say("")
        _months(f"{measure} by {dimension}", report.months, found)
    if least:
        say(least)


def _months(title: str, months: tuple[str, ...], rows: list[Row] | tuple[Row, ...]) -> None:
    lines = [
        (row.name or row.key or "none given", *("-" if v is None else str(v) for v in row.values), _total(row))
        for row in rows
    ]
    table((title, *months, "all"), lines, empty="nothing")


def _total(row: Row) -> str:
    if row.key in _ACTIVE:
        return ""  # who is active in two months is not two people
    return f">={row.total}" if row.is_partial else str(row.total)


def _seconds(seconds: int) -> str:
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds} s"


def _row_fields(row: Row) -> dict[str, Any]:
    return {
        "key": row.key,
        "name": row.name,
        "months": list(row.values),
        "total": row.total,
        "at_least": row.is_partial,
    }


def _local_fields(report: Report) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "months": list(report.months),
        "hide_below": report.threshold,
        "totals": {measure.value: _row_fields(row) for measure, row in report.totals.items()},
        "active": {row.key: list(row.values) for row in (report.people, report.services, report.institutions)},
        "by": {
            f"{measure}/{dimension}": [_row_fields(row) for row in rows]
            for (measure, dimension), rows in report.breakdowns.items()
        },
        "times": {
            name: {
                "months": [None if item is None else asdict(item) for item in times.months],
                "all": None if times.whole is None else asdict(times.whole),
            }
            for name, times in report.times.items()
        },
        "days": {measure.value: list(values) for measure, values in report.days.items()},
    }


@statistics_app.command("region")
def region(context: typer.Context, first: _First = "", last: _Last = "", as_json: JsonOption = False) -> None:
    """Show what the institutions of the region published, added up by territory."""

    async def body() -> RegionReport:
        async with opened_node(context) as node:
            return await node.statistics.regional(node.statistics.chosen(first, last))

    report = run_command(body, as_json=as_json)
    if as_json:
        emit(_region_fields(report))
        return
    if not report.territories:
        say(
            f"of {report.known} institutions known here none published totals of these months "
            "(an institution publishes with publish = true under [statistics] in coffre.toml)"
        )
    else:
        lines = [
            (
                territory.name or "no region given",
                *(_least(territory.months.get(month)) for month in report.months),
                str(territory.institutions),
            )
            for territory in report.territories
        ]
        total = ("all", *(_least(report.total(month)) for month in report.months), "")
        table(("letters written", *report.months, "institutions"), [*lines, total], empty="")
        publishing = sum(territory.institutions for territory in report.territories)
        say(f"{publishing} of {report.known} institutions published; sums are at least what there was")
    _told(report)


def _least(sums: Any) -> str:
    if sums is None or not sums.institutions:
        return "."
    return f">={sums.letters}" if sums.is_partial else str(sums.letters)


def _told(report: RegionReport) -> None:
    """What was corrected, is doubtful, or counts for nothing."""
    for institution in report.institutions:
        for month, item in institution.months.items():
            why = item.fault or item.doubt
            if why is not None:
                say(f"{institution.name}, {month}: not counted ({why})")
            elif item.published.corrections:
                was = item.published.first.count("letters")
                said = "few" if was is None else str(was)
                at = moment(item.published.totals.at_ms)
                say(f"{institution.name}, {month}: corrected {item.published.corrections} times, last {at}; was {said}")
        if institution.faults is not None:
            say(
                f"{institution.name}: {institution.faults.count} totals count for nothing ({institution.faults.newest})"
            )


def _region_fields(report: RegionReport) -> dict[str, Any]:
    from dataclasses import asdict

    def month_fields(item: CountedMonth) -> dict[str, Any]:
        totals = item.published.totals
        return {
            "counts": totals.counts,
            "few": list(totals.few),
            "published_at_ms": totals.at_ms,
            "corrections": item.published.corrections,
            "first_counts": item.published.first.counts,
            "withdrawn": totals.says_nothing,
            "not_counted": item.fault or item.doubt,
        }

    return {
        "months": list(report.months),
        "known_institutions": report.known,
        "territories": [
            {
                "region": territory.name,
                "institutions": territory.institutions,
                "months": {
                    month: {**asdict(sums), "few": sorted(sums.few)} for month, sums in territory.months.items()
                },
            }
            for territory in report.territories
        ],
        "institutions": [
            {
                "node": one.node.text,
                "name": one.name,
                "region": one.region,
                "months": {month: month_fields(item) for month, item in one.months.items()},
                "faults": None if one.faults is None else {"count": one.faults.count, "newest": one.faults.newest},
            }
            for one in report.institutions
        ],
    }


@statistics_app.command("export")
def export(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder for the files.")],
    first: _First = "",
    last: _Last = "",
    kinds: Annotated[str, typer.Option("--as", metavar="KINDS", help="Of csv, svg, png, joined by commas.")] = "csv",
    language: Annotated[str, typer.Option("--language", metavar="CODE", help="fr or en.")] = "en",
    as_json: JsonOption = False,
) -> None:
    """Write all figures, the own ones and the region's, as files."""

    async def body() -> list[str]:
        from node.reports.rendering import language_of
        from node.statistics.figures import local_figures, region_figures

        wanted, words = kinds.split(","), language_of(language)
        if unknown := [kind for kind in wanted if kind not in _KINDS]:
            raise ConfigError(f"no files of the kind {unknown[0]!r}", hint=f"there are: {', '.join(_KINDS)}")
        _make_folder(folder)
        async with opened_node(context) as node:
            chosen = node.statistics.chosen(first, last)
            local, regional = await node.statistics.local(chosen), await node.statistics.regional(chosen)
        figures = [("own", item) for item in local_figures(local, words)]
        figures += [("region", item) for item in region_figures(regional, words)]
        written = []
        for group, figure in figures:
            for kind in wanted:
                path = folder / f"{group}-{figure.slug}.{kind}"
                path.write_bytes(figure.file(kind, words))
                written.append(path.name)
        return written

    written = run_command(body, as_json=as_json)
    if as_json:
        emit({"folder": str(folder), "files": written})
    else:
        say(f"{len(written)} files in {folder}" if written else "nothing was counted or published in these months")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ConfigError(f"{folder} is not empty", hint="name a new folder")
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made: {error.strerror}") from error


@statistics_app.command("publish")
def publish(context: typer.Context, month: _Month, as_json: JsonOption = False) -> None:
    """Publish an ended month in the own feed now; one that was published is corrected."""

    async def body() -> None:
        from node.statistics.months import month_number, month_text

        async with opened_node(context) as node:
            await node.statistics.counting.catch_up()
            await node.statistics.publisher.publish(month_text(month_number(month)))

    run_command(body, as_json=as_json)
    emit({"published": month}) if as_json else say(f"{month} is published: peers have it when they are next linked")


@statistics_app.command("withdraw")
def withdraw(context: typer.Context, month: _Month, as_json: JsonOption = False) -> None:
    """Take back what was published of a month. That it was published stays in the feed."""

    async def body() -> None:
        from node.statistics.months import month_number, month_text

        async with opened_node(context) as node:
            await node.statistics.publisher.withdraw(month_text(month_number(month)))

    run_command(body, as_json=as_json)
    emit({"withdrawn": month}) if as_json else say(f"{month} is withdrawn")


@statistics_app.command("rebuild")
def rebuild(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Forget what was counted and count the whole log again; of erased letters only sums come back."""

    async def body() -> int | None:
        question = "Whom erased letters came from or went to will not be known any more. Count again?"
        if not confirm(question, assume=yes, option="--yes"):
            return None
        async with opened_node(context) as node:
            size = node.log.released.size if node.log.released is not None else 0
            with progress_count(size, "counting", hidden=as_json) as progress:
                return await node.statistics.counting.rebuild(progress)

    done = run_command(body, as_json=as_json)
    if as_json:
        emit({"leaves": done})
    else:
        say("nothing was changed" if done is None else f"{done} entries of the log counted")


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.add_typer(statistics_app, name="statistics")
